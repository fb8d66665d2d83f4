package ingest

import (
	"net/http"

	"github.com/rs/cors"
)

// allowOrigins lets browsers' scripts of these origins in (the Fetch standard's CORS protocol): any answer may be read, a refusal
// too. Without origins nothing is said of them.
func allowOrigins(handler http.Handler, origins []string) http.Handler {
	if len(origins) == 0 {
		return handler
	}
	return cors.New(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost},
		AllowedHeaders: []string{"Authorization", "Content-Type", "Traceparent", "Tracestate"},
		ExposedHeaders: []string{"Retry-After", "WWW-Authenticate"},
		MaxAge:         600, // seconds that a browser need not ask again
	}).Handler(handler)
}
