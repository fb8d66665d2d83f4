// Package followers has only tests. They hold docs/following.md against what databases go through:
// the program that stands there keeps a copy of the trail while PostgreSQL crashes, is restored to
// earlier moments and moved elsewhere, and the copy is compared with the trail.
//
//	go test ./services/internal/followers -run TestFollower -v -followers.runs=100
package followers
