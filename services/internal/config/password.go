package config

import (
	"github.com/xdg-go/stringprep"
	"golang.org/x/text/secure/precis"
)

// checkPassword refuses a password of PostgreSQL's that its clients prepare in different ways: PostgreSQL and libpq by SASLprep
// (RFC 4013), where ² is 2 and ﬁ is fi, pgx by PRECIS (RFC 8265), where they are not. One of them could never log in, whatever
// the server keeps. What a profile does not allow both take as it is.
func (l *loader) checkPassword(name string, password Secret) {
	text := password.Reveal()
	prepared, err := stringprep.SASLprep.Prepare(text)
	if err != nil {
		prepared = text
	}
	opaque, err := precis.OpaqueString.String(text)
	if err != nil {
		opaque = text
	}
	if prepared != opaque {
		l.blameSecret(name, "holds a character, such as ², ½, a ligature or a letter of full width, that PostgreSQL's clients do not read alike (SASLprep, PRECIS): "+
			"choose another password")
	}
}
