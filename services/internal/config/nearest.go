package config

// nearest returns which of names somebody may have meant: one that differs in an eighth of its letters at most, so that the names of
// others are left alone; "" for none.
func nearest(name string, names []string) string {
	best, least := "", 0
	for _, other := range names {
		most := len(other) / 8
		if d := len(name) - len(other); d > most || -d > most {
			continue
		}
		if d := distance(name, other); d <= most && (best == "" || d < least) {
			best, least = other, d
		}
	}
	return best
}

// distance is the number of letters that were left out, added, taken for another or exchanged with their neighbour (the optimal
// string alignment), in bytes: names are ASCII.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			differs := 1
			if a[i-1] == b[j-1] {
				differs = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+differs)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
