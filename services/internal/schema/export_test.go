package schema

import "io/fs"

// WithFiles takes the migrations from elsewhere.
func WithFiles(files fs.FS) Option { return func(o *options) { o.fs = files } }

// ScramVerifierWith is the verifier with a given salt.
var ScramVerifierWith = scramVerifierWith
