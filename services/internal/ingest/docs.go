package ingest

import (
	_ "embed"
	"net/http"

	"github.com/gin-gonic/gin"
	swaggerUI "github.com/swaggest/swgui/v5/static"
	"github.com/vearutop/statigz"
)

var (
	//go:embed openapi.json
	openAPI []byte
	//go:embed docs/card.html
	cardPage []byte
	//go:embed docs/index.html
	docsPage []byte
	//go:embed docs/init.js
	docsScript []byte
)

// OpenAPI returns the description of the HTTP interface, OpenAPI 3.1 in JSON.
func OpenAPI() []byte { return append([]byte(nil), openAPI...) }

func getOpenAPI(c *gin.Context) {
	c.Header("Cache-Control", "no-cache")
	c.Data(http.StatusOK, "application/json", openAPI)
}

// docsPolicy lets the page load from here and nowhere else.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; " +
	"img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func getDocs(c *gin.Context) {
	c.Header("Content-Security-Policy", docsPolicy)
	c.Header("Cache-Control", "no-cache")
	c.Data(http.StatusOK, "text/html; charset=utf-8", docsPage)
}

var (
	// docsAssets are the files of Swagger UI that the page needs; the library has
	// more.
	docsAssets = map[string]bool{"swagger-ui.css": true, "swagger-ui-bundle.js": true, "favicon-32x32.png": true}
	// docsFiles serves them as they are embedded, compressed.
	docsFiles = http.StripPrefix("/docs", statigz.FileServer(swaggerUI.FS))
)

func getDocsAsset(c *gin.Context) error {
	name := c.Param("asset")
	switch {
	case name == "init.js":
		c.Header("Cache-Control", "no-cache")
		c.Data(http.StatusOK, "text/javascript; charset=utf-8", docsScript)
	case docsAssets[name]:
		c.Header("Cache-Control", "public, max-age=86400")
		docsFiles.ServeHTTP(c.Writer, c.Request)
	default:
		return newProblem(kindNotFound, "See / for what there is.")
	}
	return nil
}
