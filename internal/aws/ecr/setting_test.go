package ecr_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
)

func TestGetAuthorizationTokenReturnsOneEntryForTheDefaultRegistry(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		out := must(s.ECR().GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{}))(t)
		if len(out.AuthorizationData) != 1 {
			t.Fatalf("%d entries, want 1", len(out.AuthorizationData))
		}
		entry := out.AuthorizationData[0]
		wantEqual(t, "proxy endpoint", *entry.ProxyEndpoint, s.URL)
		wantEqual(t, "expiry", *entry.ExpiresAt, s.Clock.Now().Add(12*time.Hour))
		wantEqual(t, "repository URI", *createRepository(t, s.ECR(), "app").RepositoryUri, s.Host+"/app")
		user, password, _ := strings.Cut(string(must(base64.StdEncoding.DecodeString(*entry.AuthorizationToken))(t)), ":")
		wantEqual(t, "user", user, "AWS")
		c := s.Login(t)
		c.Pass = password
		c.Do(t, "GET", "/v2/", nil).Want(t, 200)
	})
}

func TestGetAuthorizationTokenReturnsAnEntryForEachRegistryAskedFor(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		_, port, _ := strings.Cut(s.Host, ":")
		ask := func(region string, ids ...string) []string {
			t.Helper()
			//lint:ignore SA1019 clients still send it
			out := must(s.ECRIn(region).GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{RegistryIds: ids}))(t)
			var got []string
			for _, entry := range out.AuthorizationData {
				if !strings.HasPrefix(string(must(base64.StdEncoding.DecodeString(*entry.AuthorizationToken))(t)), "AWS:") {
					t.Errorf("the token for %s is not of the user AWS", *entry.ProxyEndpoint)
				}
				got = append(got, *entry.ProxyEndpoint)
			}
			return got
		}
		other := "http://210987654321.dkr.ecr.us-east-1.localhost:" + port
		wantEqual(t, "one's own", ask("us-east-1", "123456789012"), []string{s.URL})
		wantEqual(t, "two", ask("us-east-1", "210987654321", "123456789012"), []string{other, s.URL})
		wantEqual(t, "another region", ask("eu-west-1"), []string{"http://123456789012.dkr.ecr.eu-west-1.localhost:" + port})

		for name, tt := range map[string]struct {
			ids  []string
			want string
		}{
			"none":              {[]string{}, "'Member must have length greater than or equal to 1'"},
			"eleven":            {strings.Fields(strings.Repeat("123456789012 ", 11)), "'Member must have length less than or equal to 10'"},
			"one that is no id": {[]string{"1"}, "'must satisfy regular expression [0-9]{12}'"},
		} {
			//lint:ignore SA1019 clients still send it
			_, err := s.ECR().GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{RegistryIds: tt.ids})
			at := "registryIds"
			if name == "one that is no id" {
				at = "registryIds.1.member"
			}
			wantError(t, err, "InvalidParameterException", "Invalid parameter at '"+at+"' failed to satisfy constraint: "+tt.want)
		}
	})
}

func TestAPasswordWorksForTwelveHours(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.Login(t)
		s.Clock.Advance(11*time.Hour + 59*time.Minute)
		c.Do(t, "GET", "/v2/", nil).Want(t, 200)
		s.Restart(t)
		c.Do(t, "GET", "/v2/", nil).Want(t, 200)
		s.Clock.Advance(time.Minute)
		res := c.Do(t, "GET", "/v2/", nil).Want(t, 403)
		wantEqual(t, "code", res.Code(), "DENIED")
		wantEqual(t, "message", res.Message(), "Your authorization token has expired. Reauthenticate and try again.")
	})
}

func TestAPasswordIsGoodForEveryRegionButOnlyForOnesOwnAccount(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		createRepository(t, s.ECRIn("eu-west-1"), "app")
		c := s.Login(t)
		c.Host = "123456789012.dkr.ecr.eu-west-1.localhost"
		c.Do(t, "GET", "/v2/app/tags/list", nil).Want(t, 200)
		c.Host = "210987654321.dkr.ecr.us-east-1.localhost"
		res := c.Do(t, "GET", "/v2/app/tags/list", nil).Want(t, 403)
		wantEqual(t, "message", res.Message(), "User: arn:aws:iam::123456789012:root is not authorized to perform: ecr:ListImages on resource: "+
			"arn:aws:ecr:us-east-1:210987654321:repository/app because no resource-based policy allows the ecr:ListImages action")
	})
}

func TestAccountSettings(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		get := func(c *ecr.Client) string {
			t.Helper()
			out := must(c.GetAccountSetting(t.Context(), &ecr.GetAccountSettingInput{Name: new("BLOB_MOUNTING")}))(t)
			wantEqual(t, "name", *out.Name, "BLOB_MOUNTING")
			return *out.Value
		}
		put := func(value string) {
			t.Helper()
			out := must(c.PutAccountSetting(t.Context(), &ecr.PutAccountSettingInput{Name: new("BLOB_MOUNTING"), Value: &value}))(t)
			wantEqual(t, "put", *out.Name+"="+*out.Value, "BLOB_MOUNTING="+value)
		}
		mount := func(blob []byte) int {
			t.Helper()
			return s.Login(t).Do(t, "POST", "/v2/target/blobs/uploads/?from=source&mount="+digest.FromBytes(blob).String(), nil).Status
		}
		createRepository(t, c, "source")
		createRepository(t, c, "target")
		for i := range uint64(3) {
			pushLayer(t, c, "source", servertest.Bytes(i, 10))
		}
		wantEqual(t, "by default", get(c), "ENABLED")
		wantEqual(t, "a mount by default", mount(servertest.Bytes(0, 10)), 201)
		put("DISABLED")
		wantEqual(t, "after it was put", get(c), "DISABLED")
		wantEqual(t, "in another region", get(s.ECRIn("eu-west-1")), "ENABLED")
		wantEqual(t, "a mount when it is disabled", mount(servertest.Bytes(1, 10)), 202)
		s.Restart(t)
		wantEqual(t, "after a restart", get(c), "DISABLED")
		wantEqual(t, "what was mounted stays", availability(t, c, "target", digest.FromBytes(servertest.Bytes(0, 10))), []string{"AVAILABLE"})
		put("ENABLED")
		wantEqual(t, "a mount when it is enabled", mount(servertest.Bytes(1, 10)), 201)
	})
}

func TestAccountSettingsHaveDefaults(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		for name, want := range map[string]string{"BLOB_MOUNTING": "ENABLED", "BERTH_LIFECYCLE_EXTENSIONS": "DISABLED", "BASIC_SCAN_TYPE_VERSION": "AWS_NATIVE", "REGISTRY_POLICY_SCOPE": "V2"} {
			out := must(c.GetAccountSetting(t.Context(), &ecr.GetAccountSettingInput{Name: &name}))(t)
			wantEqual(t, "default of "+name, *out.Name+"="+*out.Value, name+"="+want)
			put := must(c.PutAccountSetting(t.Context(), &ecr.PutAccountSettingInput{Name: &name, Value: &want}))(t)
			wantEqual(t, "put of "+name, *put.Name+"="+*put.Value, name+"="+want)
			out = must(c.GetAccountSetting(t.Context(), &ecr.GetAccountSettingInput{Name: &name}))(t)
			wantEqual(t, name+" after the put", *out.Value, want)
		}
	})
}

func TestAccountSettingsThatBerthCannotActByAreRefused(t *testing.T) {
	t.Parallel()
	const unknown = "Invalid parameter at 'name' failed to satisfy constraint: " +
		"'Member must satisfy enum value set: [BASIC_SCAN_TYPE_VERSION, BERTH_LIFECYCLE_EXTENSIONS, BLOB_MOUNTING, REGISTRY_POLICY_SCOPE]'"
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		for _, tt := range []struct{ name, code, message string }{
			{"blob_mounting", "InvalidParameterException", unknown},
			{"A\x00", "InvalidParameterException", unknown},
			{
				"", "ValidationException",
				"1 validation error detected: Value '' at 'name' failed to satisfy constraint: Member must have length greater than or equal to 1",
			},
			{
				strings.Repeat("A", 65), "ValidationException", "1 validation error detected: Value '" + strings.Repeat("A", 65) +
					"' at 'name' failed to satisfy constraint: Member must have length less than or equal to 64",
			},
		} {
			_, err := c.GetAccountSetting(t.Context(), &ecr.GetAccountSettingInput{Name: &tt.name})
			wantError(t, err, tt.code, tt.message)
			_, err = c.PutAccountSetting(t.Context(), &ecr.PutAccountSettingInput{Name: &tt.name, Value: new("ENABLED")})
			wantError(t, err, tt.code, tt.message)
		}
		for _, tt := range []struct{ name, value, constraint string }{
			{"BLOB_MOUNTING", "", "Member must satisfy enum value set: [ENABLED, DISABLED]"},
			{"BLOB_MOUNTING", "enabled", "Member must satisfy enum value set: [ENABLED, DISABLED]"},
			{"BLOB_MOUNTING", "V1", "Member must satisfy enum value set: [ENABLED, DISABLED]"},
			{"BLOB_MOUNTING", "ENABLED\x00", "Member must satisfy enum value set: [ENABLED, DISABLED]"},
			{"BASIC_SCAN_TYPE_VERSION", "CLAIR", "CLAIR is not supported: basic scans are those of AWS_NATIVE"},
			{"BASIC_SCAN_TYPE_VERSION", "TRIVY", "Member must satisfy enum value set: [AWS_NATIVE]"},
			{"REGISTRY_POLICY_SCOPE", "V1", "V1 is not supported: a registry policy is about every action, as it is with V2"},
			{"REGISTRY_POLICY_SCOPE", "CLAIR", "Member must satisfy enum value set: [V2]"},
		} {
			_, err := c.PutAccountSetting(t.Context(), &ecr.PutAccountSettingInput{Name: &tt.name, Value: &tt.value})
			wantError(t, err, "InvalidParameterException", "Invalid parameter at 'value' failed to satisfy constraint: '"+tt.constraint+"'")
		}
		wantEqual(t, "settings stored", rows(t, s, "SELECT name FROM account_settings"), []string{})
	})
}

// The encryption of a repository is a border that layers are not shared across.
func TestLayersAreNotMountedAcrossEncryption(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECR()
		createRepository(t, c, "plain")
		for _, name := range []string{"sealed", "sealed-too"} {
			must(c.CreateRepository(t.Context(), &ecr.CreateRepositoryInput{
				RepositoryName: &name, EncryptionConfiguration: &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeKms},
			}))(t)
		}
		content := servertest.Bytes(1, 10)
		pushLayer(t, c, "sealed", content)
		d := digest.FromBytes(content).String()
		client := s.Login(t)
		client.Do(t, "POST", "/v2/plain/blobs/uploads/?from=sealed&mount="+d, nil).Want(t, 202)
		client.Do(t, "POST", "/v2/plain/blobs/uploads/?mount="+d, nil).Want(t, 202)
		client.Do(t, "POST", "/v2/sealed-too/blobs/uploads/?mount="+d, nil).Want(t, 201)
	})
}
