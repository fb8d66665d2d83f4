package middleware

import (
	"net/http"

	"github.com/rs/cors"
)

// AllowOrigins lets browsers' scripts of these origins in (the CORS protocol of the Fetch
// standard): they may read any answer, refusals too. Without origins there are no such headers.
func AllowOrigins(handler http.Handler, origins []string) http.Handler {
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
