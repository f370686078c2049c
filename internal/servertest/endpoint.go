package servertest

// Endpoint is an entry of the distribution API's table of handlers.
type Endpoint struct{ Method, Path string }

// EndpointActions are what the authorizer is asked about for each entry of the
// distribution API's table of handlers, in order. A new entry must be added here.
var EndpointActions = map[Endpoint][]string{
	{Method: "GET", Path: "/v2/_catalog"}:                     {"ecr:DescribeRepositories"},
	{Method: "HEAD", Path: "/v2/_catalog"}:                    {"ecr:DescribeRepositories"},
	{Method: "GET", Path: "/v2/NAME/tags/list"}:               {"ecr:ListImages"},
	{Method: "HEAD", Path: "/v2/NAME/tags/list"}:              {"ecr:ListImages"},
	{Method: "GET", Path: "/v2/NAME/manifests/TAG"}:           {"ecr:BatchGetImage"},
	{Method: "HEAD", Path: "/v2/NAME/manifests/TAG"}:          {"ecr:BatchGetImage"},
	{Method: "PUT", Path: "/v2/NAME/manifests/TAG"}:           {"ecr:PutImage"},
	{Method: "DELETE", Path: "/v2/NAME/manifests/TAG"}:        {"ecr:BatchDeleteImage"},
	{Method: "GET", Path: "/v2/NAME/blobs/DIGEST"}:            {"ecr:GetDownloadUrlForLayer"},
	{Method: "HEAD", Path: "/v2/NAME/blobs/DIGEST"}:           {"ecr:BatchCheckLayerAvailability"},
	{Method: "DELETE", Path: "/v2/NAME/blobs/DIGEST"}:         {"ecr:BatchDeleteImage"},
	{Method: "POST", Path: "/v2/NAME/blobs/uploads/"}:         {"ecr:InitiateLayerUpload"},
	{Method: "GET", Path: "/v2/NAME/blobs/uploads/UPLOAD"}:    {"ecr:UploadLayerPart"},
	{Method: "HEAD", Path: "/v2/NAME/blobs/uploads/UPLOAD"}:   {"ecr:UploadLayerPart"},
	{Method: "PATCH", Path: "/v2/NAME/blobs/uploads/UPLOAD"}:  {"ecr:UploadLayerPart"},
	{Method: "PUT", Path: "/v2/NAME/blobs/uploads/UPLOAD"}:    {"ecr:UploadLayerPart", "ecr:CompleteLayerUpload"},
	{Method: "DELETE", Path: "/v2/NAME/blobs/uploads/UPLOAD"}: {"ecr:UploadLayerPart"},
	{Method: "GET", Path: "/v2/NAME/referrers/DIGEST"}:        {"ecr:BatchGetImage"},
	{Method: "HEAD", Path: "/v2/NAME/referrers/DIGEST"}:       {"ecr:BatchGetImage"},
}

// OpenEndpoints need a password that works, and nothing else.
var OpenEndpoints = []Endpoint{{Method: "GET", Path: "/v2/"}, {Method: "HEAD", Path: "/v2/"}}
