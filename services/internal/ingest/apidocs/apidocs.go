package apidocs

import (
	_ "embed"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
	swaggerUI "github.com/swaggest/swgui/v5/static"
	"github.com/vearutop/statigz"
)

var (
	//go:embed openapi.json
	openAPI []byte
	//go:embed card.html
	cardPage []byte
	//go:embed index.html
	docsPage []byte
	//go:embed init.js
	docsScript []byte
)

// OpenAPI returns the description of the HTTP interface, OpenAPI 3.1 in JSON.
func OpenAPI() []byte { return append([]byte(nil), openAPI...) }

// GetOpenAPI answers with the description.
func GetOpenAPI(c *gin.Context) {
	c.Header("Cache-Control", "no-cache")
	c.Data(http.StatusOK, "application/json", openAPI)
}

// policy lets a page load from here and nowhere else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; " +
	"img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const html = "text/html; charset=utf-8"

// Card returns a handler that answers browsers with a page of links, and all others by asJSON.
func Card(asJSON gin.HandlerFunc) gin.HandlerFunc {
	return func(c *gin.Context) {
		c.Header("Vary", "Accept")
		accept := strings.Join(c.Request.Header.Values("Accept"), ",")
		if preferred(accept, gin.MIMEJSON, gin.MIMEHTML) != gin.MIMEHTML {
			asJSON(c)
			return
		}
		c.Header("Content-Security-Policy", policy)
		c.Data(http.StatusOK, html, cardPage)
	}
}

// GetPage answers with the page that shows the description.
func GetPage(c *gin.Context) {
	c.Header("Content-Security-Policy", policy)
	c.Header("Cache-Control", "no-cache")
	c.Data(http.StatusOK, html, docsPage)
}

var (
	// assets are the files of Swagger UI that the page needs; the library has more.
	assets = map[string]bool{"swagger-ui.css": true, "swagger-ui-bundle.js": true, "favicon-32x32.png": true}
	// assetServer serves them as they are embedded, compressed.
	assetServer = http.StripPrefix("/docs", statigz.FileServer(swaggerUI.FS))
)

// GetAsset answers with a part of the page, named by the parameter "asset" of the route; it reports
// whether there is one of that name.
func GetAsset(c *gin.Context) (found bool) {
	name := c.Param("asset")
	switch {
	case name == "init.js":
		c.Header("Cache-Control", "no-cache")
		c.Data(http.StatusOK, "text/javascript; charset=utf-8", docsScript)
	case assets[name]:
		c.Header("Cache-Control", "public, max-age=86400")
		assetServer.ServeHTTP(c.Writer, c.Request)
	default:
		return false
	}
	return true
}
