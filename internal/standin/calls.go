package standin

// ServerCalls are the calls of AWS that a server makes, by what it makes them of;
// those of S3 are named as Line names them. This package's test holds the adapters
// to the list, and deploy/aws holds the role of the function to it.
var ServerCalls = struct{ Tokens, Usage, Archive, GivenUp, Key []string }{
	Tokens:  []string{"BatchGetItem", "DeleteItem", "GetItem", "PutItem", "Scan", "UpdateItem"},
	Usage:   []string{"BatchGetItem", "GetItem", "PutItem", "Query"},
	Archive: []string{"DELETE", "GET", "GET list-type", "POST uploadId", "POST uploads", "PUT", "PUT uploadId"},
	// GivenUp are those of the archive where an upload fails midway.
	GivenUp: []string{"DELETE uploadId"},
	Key:     []string{"GetSecretValue"},
}
