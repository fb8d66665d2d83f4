// Package docker runs a server as a container of a public image.
package docker
