package values

import (
	"encoding"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// errSyntax is all that a parser says: package config makes the message that people read from the
// tags of the field, and never repeats the words of a library.
var errSyntax = errors.New("syntax")

// Parse reads text as a value of type t: one of this package, time.Duration, bool, int, uint16, or
// a string. It panics for others. An empty text is the zero value: that a value is blank is a fault
// of its own.
func Parse(t reflect.Type, text string) (reflect.Value, error) {
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
		value.SetString(text) // of Origins, too
	}
	return value, err
}

// parseBool reads the words that the settings libraries of Python read.
func parseBool(s string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true", "1", "yes", "on", "t", "y":
		return true, nil
	case "false", "0", "no", "off", "f", "n":
		return false, nil
	}
	return false, errSyntax
}
