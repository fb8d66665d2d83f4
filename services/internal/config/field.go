package config

import (
	"cmp"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/trailpost/trailpost/services/internal/config/values"
)

// field is one variable: a leaf of Config with its tags.
type field struct {
	section  string
	name     string // the variable
	value    reflect.Value
	tag      reflect.StructTag
	usedBy   Binary
	required Binary
}

// fields lists the leaves of cfg in order.
func fields(cfg *Config) []field {
	var list []field
	for section, value := range reflect.ValueOf(cfg).Elem().Fields() {
		if !section.IsExported() {
			continue
		}
		for leaf, v := range value.Fields() {
			usedBy, ok := leaf.Tag.Lookup("for")
			if !ok {
				usedBy = section.Tag.Get("for")
			}
			list = append(list, field{
				section:  section.Name,
				name:     leaf.Tag.Get("env"),
				value:    v,
				tag:      leaf.Tag,
				usedBy:   parseBinaries(usedBy),
				required: parseBinaries(leaf.Tag.Get("required")),
			})
		}
	}
	return list
}

func (f field) isSecret() bool {
	return f.value.Type() == reflect.TypeFor[values.Secret]()
}

// want says what the value must be, in words that fit after "must be". It is "" for a type that
// takes anything.
func (f field) want() string {
	from, to := f.tag.Get("min"), f.tag.Get("max")
	if words := f.tag.Get("oneof"); words != "" {
		return "one of " + strings.ReplaceAll(words, ",", ", ")
	}
	switch f.value.Interface().(type) {
	case uint16:
		return fmt.Sprintf("a port from %s to %s", from, to)
	case values.Ports:
		return "a port from 1 to 65535, or several with commas between"
	case int:
		return fmt.Sprintf("a whole number from %s to %s", from, to)
	case values.ByteSize:
		return fmt.Sprintf("a size such as 64MiB, from %s to %s", from, to)
	case time.Duration:
		return fmt.Sprintf("a duration such as 5, 1.5s or 30d, from %s to %s", from, to)
	case bool:
		return "true or false"
	case values.Origins:
		return values.WantOrigins
	case values.Networks:
		return "addresses or networks such as 10.0.0.0/8, with commas between"
	case values.LogLevel:
		return "DEBUG, INFO, WARNING, ERROR or CRITICAL"
	}
	return ""
}

// inBounds reports whether the value keeps to min, max and oneof.
func (f field) inBounds() bool {
	if words := f.tag.Get("oneof"); words != "" {
		for word := range strings.SplitSeq(words, ",") {
			if f.value.String() == word {
				return true
			}
		}
		return false
	}
	return f.compare("min") >= 0 && f.compare("max") <= 0
}

// compare returns the sign of value − bound; 0 without such a bound. A bound is written as a value
// of the field is.
func (f field) compare(tag string) int {
	text, ok := f.tag.Lookup(tag)
	if !ok {
		return 0
	}
	bound, err := values.Parse(f.value.Type(), text)
	if err != nil {
		panic(fmt.Sprintf("config: tag %s of %s: %v", tag, f.name, err))
	}
	if f.value.CanUint() {
		return cmp.Compare(f.value.Uint(), bound.Uint())
	}
	return cmp.Compare(f.value.Int(), bound.Int())
}
