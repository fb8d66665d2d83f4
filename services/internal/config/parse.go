package config

import (
	"reflect"
	"sync"

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

// ofTags are the values that parseTag has read.
var ofTags = struct {
	sync.Mutex
	values map[typedText]reflect.Value
}{values: map[typedText]reflect.Value{}}

type typedText struct {
	t    reflect.Type
	text string
}

// parseTag is parse of what a field's tag says, read once: each parse copies the whole environment of
// the process, and there are three a variable.
func parseTag(t reflect.Type, text string) (reflect.Value, error) {
	ofTags.Lock()
	defer ofTags.Unlock()
	key := typedText{t, text}
	if value, ok := ofTags.values[key]; ok {
		return value, nil
	}
	value, err := parse(t, text)
	if err == nil {
		ofTags.values[key] = value
	}
	return value, err
}
