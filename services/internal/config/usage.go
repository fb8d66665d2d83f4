package config

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Variable describes one environment variable, for help texts and documents.
type Variable struct {
	Section  string
	Name     string
	Help     string // full sentences
	Want     string // what the value must be, "" when anything will do
	Default  string // as one would write it; "" for none
	Required bool
	Secret   bool // NAME_FILE works, too
}

// Variables lists what a binary reads, in the order of [Config].
func Variables(binary Binary) []Variable {
	var list []Variable
	for _, f := range fields(new(Config)) {
		if f.usedBy&binary == 0 {
			continue
		}
		list = append(list, Variable{
			Section:  f.section,
			Name:     f.name,
			Help:     f.tag.Get("help"),
			Want:     f.want(),
			Default:  f.tag.Get("envDefault"),
			Required: f.required&binary != 0,
			Secret:   f.isSecret(),
		})
	}
	return list
}

// Usage prints the binary's variables with defaults and help.
func Usage(w io.Writer, binary Binary) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "Environment variables; a file .env in the working directory may hold them, too.")
	fmt.Fprintln(t, "Where it says \"or file\", NAME_FILE can name a file that holds the value instead.")
	section := ""
	for _, v := range Variables(binary) {
		if v.Section != section {
			section = v.Section
			fmt.Fprintf(t, "\n%s\n", section)
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\n", v.Name, v.note(), v.Help)
	}
	return t.Flush()
}

// note is the middle column.
func (v Variable) note() string {
	var note string
	switch {
	case v.Required:
		note = "required"
	case v.Default != "":
		note = v.Default
	default:
		note = "-"
	}
	if v.Secret {
		note += ", or file"
	}
	return note
}
