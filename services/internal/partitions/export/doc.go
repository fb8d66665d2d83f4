// Package export has the files that months of the trail are exported into: their names, what is in
// them, how they come to the disk, and how they are read, compared and verified. It knows nothing
// of the database: package partitions gives it the rows.
//
// An export is a file and its manifest, beside each other in a directory that the operator chose.
// It counts once its manifest has its name. Each of the two is written under a temporary name
// (Draft), synced, and renamed to a name that nothing had: nothing is ever written over.
package export
