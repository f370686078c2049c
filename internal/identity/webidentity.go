package identity

const (
	getSessionToken    = "GetSessionToken"
	getFederationToken = "GetFederationToken"
)
