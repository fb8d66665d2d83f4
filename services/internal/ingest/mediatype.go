package ingest

import (
	"mime"
	"net/http"
	"slices"
	"strings"
)

// media is how a body's bytes are to be read.
type media uint8

const (
	mediaJSON media = iota
	mediaLines
)

// mediaTypes are the content types of a route; "" stands for a missing header.
type mediaTypes map[string]media

// of reads the headers that say how the body is written, or returns a *problem.
func (types mediaTypes) of(header http.Header) (media, error) {
	for _, encoding := range header.Values("Content-Encoding") {
		if encoding != "" && !strings.EqualFold(strings.TrimSpace(encoding), "identity") {
			return 0, newProblem(kindMediaType, "The body must not be compressed or otherwise encoded.")
		}
	}
	values := header.Values("Content-Type")
	switch {
	case len(values) == 0:
		return types[""], nil
	case len(values) > 1:
		return 0, types.unsupported("")
	}
	if m, ok := types[values[0]]; ok { // what nearly all clients send
		return m, nil
	}
	name, parameters, err := mime.ParseMediaType(values[0])
	if err != nil {
		return 0, types.unsupported("")
	}
	m, ok := types[name]
	if charset, given := parameters["charset"]; !ok || given && !isUTF8(charset) {
		return 0, types.unsupported(name)
	}
	return m, nil
}

// unsupported names what would have been supported instead of a type.
func (types mediaTypes) unsupported(given string) *problem {
	var names []string
	for name := range types {
		if name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	detail := "The content type must be " + strings.Join(names, ", ") + ", in UTF-8."
	if _, here := types[given]; !here && batchRules.mediaTypes[given] == mediaLines {
		detail += " Send lines of JSON to " + routeBatch + "."
	}
	return newProblem(kindMediaType, detail)
}

// isUTF8 reports whether a charset is UTF-8, by one of its names, or ASCII, which is a part of it.
func isUTF8(charset string) bool {
	return slices.ContainsFunc([]string{"utf-8", "utf8", "us-ascii"}, func(name string) bool {
		return strings.EqualFold(charset, name)
	})
}
