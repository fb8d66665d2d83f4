package config

import (
	"encoding"
	"reflect"
	"strconv"
	"time"
)

// parse reads text as a value of type t, which is the type of a field of [Config]. An empty text is
// the zero value: that a value is blank is a fault of its own.
func parse(t reflect.Type, text string) (reflect.Value, error) {
	target := reflect.New(t)
	value := target.Elem()
	if text == "" {
		return value, nil
	}
	var err error
	switch p := target.Interface().(type) {
	case encoding.TextUnmarshaler:
		err = p.UnmarshalText([]byte(text))
	case *time.Duration:
		*p, err = parseDuration(text)
	case *bool:
		*p, err = parseBool(text)
	case *int:
		*p, err = strconv.Atoi(text)
	case *uint16:
		var port uint64
		port, err = strconv.ParseUint(text, 10, 16)
		*p = uint16(port)
	default:
		value.SetString(text) // panics for a type that has no case here
	}
	return value, err
}
