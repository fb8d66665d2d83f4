// All links are relative, so the page works behind a path prefix, too.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null, // or it would ask a server on the internet
});
