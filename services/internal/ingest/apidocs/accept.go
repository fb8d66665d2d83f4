package apidocs

import (
	"mime"
	"strconv"
	"strings"
)

// preferred returns which of the offered types a client prefers by its header Accept, whose weights
// gin's NegotiateFormat does not know (RFC 9110, 12.5.1): the one of the greatest weight; of the
// same weight the one that is named more exactly, then the one that is named first, and without any
// the first that is offered.
func preferred(accept string, offered ...string) string {
	best, chosen := acceptance{}, offered[0]
	for _, offer := range offered {
		if a := accepts(accept, offer); a.over(best) {
			best, chosen = a, offer
		}
	}
	return chosen
}

// acceptance is what Accept says of one type.
type acceptance struct {
	quality  float64 // 0: the type is refused, or not named
	exact    int     // 3: by its name, 2: type/*, 1: */*, 0: not at all
	position int
}

func (a acceptance) over(b acceptance) bool {
	switch {
	case a.quality != b.quality:
		return a.quality > b.quality
	case a.exact != b.exact:
		return a.quality > 0 && a.exact > b.exact
	}
	return a.position < b.position
}

// accepts goes by the range that names the type most exactly. Ranges that can't be parsed are
// skipped.
func accepts(accept, offer string) (a acceptance) {
	kind, _, _ := strings.Cut(offer, "/")
	exactness := map[string]int{offer: 3, kind + "/*": 2, "*/*": 1}
	position := 0
	for part := range strings.SplitSeq(accept, ",") {
		position++
		name, parameters, err := mime.ParseMediaType(part)
		if exact := exactness[name]; err == nil && exact > a.exact {
			a = acceptance{quality(parameters["q"]), exact, position}
		}
	}
	return a
}

// quality is a weight from 0 to 1, and 1 where there is none.
func quality(text string) float64 {
	q, err := strconv.ParseFloat(text, 64)
	if err == nil && q >= 0 && q <= 1 { // not NaN either
		return q
	}
	return 1
}
