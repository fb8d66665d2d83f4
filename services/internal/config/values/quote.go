package values

import "strconv"

// Quote returns a value in quotes, on one line of bearable length.
func Quote(s string) string {
	const most = 80
	if runes := []rune(s); len(runes) > most {
		return strconv.Quote(string(runes[:most])) + "…"
	}
	return strconv.Quote(s)
}
