package config

import (
	"reflect"

	"github.com/caarlos0/env/v11"
)

// parse reads text as a value of type t. The parser takes whole structs, whose
// errors don't name the variable; so it gets a struct of one field.
func parse(t reflect.Type, text string) (reflect.Value, error) {
	one := reflect.New(reflect.StructOf([]reflect.StructField{
		{Name: "Value", Type: t, Tag: `env:"VALUE"`},
	}))
	err := env.ParseWithOptions(one.Interface(), env.Options{
		Environment: map[string]string{"VALUE": text},
		FuncMap:     parsers,
	})
	return one.Elem().Field(0), err
}
