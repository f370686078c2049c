package ecrpublic_test

import (
	"bytes"
	"strings"
	"testing"

	"berth/internal/servertest"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
)

// share returns a policy that lets principals do, or denies them, actions.
func share(effect, principal, actions string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"` + effect + `","Principal":` + principal + `,"Action":[` + actions + `]}]}`
}

func setPolicy(t *testing.T, c *ecrpublic.Client, id, repository *string, text string, force bool) error {
	t.Helper()
	_, err := c.SetRepositoryPolicy(t.Context(), &ecrpublic.SetRepositoryPolicyInput{RegistryId: id, RepositoryName: repository, PolicyText: &text, Force: force})
	return err
}

func TestPoliciesAreKept(t *testing.T) {
	t.Parallel()
	const none = "Repository policy does not exist for the repository with name 'app' in the registry with id '123456789012'"
	const invalid = "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy provided'"
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECRPublic()
		create(t, s, "app")
		text := share("Allow", `{"AWS":"210987654321"}`, `"ecr-public:PutImage","ecr-public:Initiate*"`)
		calls := map[string]func(name, id *string) (string, error){
			"GetRepositoryPolicy": func(name, id *string) (string, error) {
				out, err := c.GetRepositoryPolicy(t.Context(), &ecrpublic.GetRepositoryPolicyInput{RepositoryName: name, RegistryId: id})
				if err != nil {
					return "", err
				}
				return *out.RegistryId + " " + *out.RepositoryName + " " + *out.PolicyText, nil
			},
			"DeleteRepositoryPolicy": func(name, id *string) (string, error) {
				out, err := c.DeleteRepositoryPolicy(t.Context(), &ecrpublic.DeleteRepositoryPolicyInput{RepositoryName: name, RegistryId: id})
				if err != nil {
					return "", err
				}
				return *out.RegistryId + " " + *out.RepositoryName + " " + *out.PolicyText, nil
			},
			"SetRepositoryPolicy": func(name, id *string) (string, error) {
				out, err := c.SetRepositoryPolicy(t.Context(), &ecrpublic.SetRepositoryPolicyInput{RepositoryName: name, RegistryId: id, PolicyText: &text})
				if err != nil {
					return "", err
				}
				return *out.RegistryId + " " + *out.RepositoryName + " " + *out.PolicyText, nil
			},
		}
		for name, call := range calls {
			_, err := call(new("absent"), nil)
			wantError(t, err, "RepositoryNotFoundException", noRepository)
			_, err = call(new("app"), new(stranger))
			wantDenied(t, err, name, "arn:aws:ecr-public::210987654321:repository/app")
		}
		for _, name := range []string{"GetRepositoryPolicy", "DeleteRepositoryPolicy"} {
			_, err := calls[name](new("app"), nil)
			wantError(t, err, "RepositoryPolicyNotFoundException", none)
		}
		for _, name := range []string{"SetRepositoryPolicy", "GetRepositoryPolicy", "DeleteRepositoryPolicy"} {
			if name != "SetRepositoryPolicy" {
				s.Restart(t)
			}
			wantEqual(t, name, must(calls[name](new("app"), nil))(t), "123456789012 app "+text)
		}
		_, err := calls["GetRepositoryPolicy"](new("app"), nil)
		wantError(t, err, "RepositoryPolicyNotFoundException", none)
		for _, bad := range []string{
			"", "{}", "{", "null", share("Allow", `"*"`, `"ecr:PutImage"`), share("Allow", `"*"`, `"ecr-public:BatchImportUpstreamImage"`), share("Allow", `"*"`, `"s3:*"`),
			share("Allow", `{"AWS":"me"}`, `"ecr-public:*"`), strings.Replace(text, "Put", "Put\x00", 1), `{"Statement":{"Effect":"Allow","Action":"ecr-public:*"}}`,
		} {
			wantError(t, setPolicy(t, c, nil, new("app"), bad, true), "InvalidParameterException", invalid)
		}
		// Who locks himself out must mean it; the root can repair it.
		lock := share("Deny", `"*"`, `"ecr-public:*"`)
		wantError(t, setPolicy(t, c, nil, new("app"), lock, false), "InvalidParameterException",
			"Invalid parameter at 'PolicyText' failed to satisfy constraint: 'This repository policy would prevent you from setting another one'")
		if err := setPolicy(t, c, nil, new("app"), lock, true); err != nil {
			t.Fatal(err)
		}
		_, err = calls["GetRepositoryPolicy"](new("app"), nil)
		if servertest.ErrorCode(err) != "AccessDeniedException" || !strings.HasSuffix(servertest.ErrorMessage(err), "with an explicit deny in a resource-based policy") {
			t.Errorf("GetRepositoryPolicy of who is denied it = %v", err)
		}
		must(calls["DeleteRepositoryPolicy"](new("app"), nil))(t)
	})
}

const push = `"ecr-public:BatchCheckLayerAvailability","ecr-public:InitiateLayerUpload","ecr-public:UploadLayerPart","ecr-public:CompleteLayerUpload","ecr-public:PutImage"`

// loginPublic returns a client for the public host that is logged in.
func loginPublic(t *testing.T, s *servertest.Server, as awssdk.Config) *servertest.Client {
	t.Helper()
	out := must(ecrpublic.NewFromConfig(as).GetAuthorizationToken(t.Context(), &ecrpublic.GetAuthorizationTokenInput{}))(t)
	c := s.LoginPublic(t)
	c.Token = *out.AuthorizationData.AuthorizationToken
	return c
}

// A push from another account needs both sides; a pull needs nobody.
func TestPoliciesDecideWhoPushes(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		at := s.CreatePublicRepository(t, "app")
		img := servertest.NewImage(1, 10)
		s.LoginPublic(t).Push(t, at, "v1", img)
		other := s.CreateAccount(t, "111122223333")
		may := loginPublic(t, s, s.CreateUserOf(t, other, "may", servertest.Allow("ecr-public:*", "sts:GetServiceBearerToken")))
		mayNot := loginPublic(t, s, s.CreateUserOf(t, other, "maynot", servertest.Allow("ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken")))
		local := loginPublic(t, s, s.CreateUserOf(t, s.AWS(), "local", servertest.Allow("ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken")))
		tryPush := func(what string, c *servertest.Client, want bool, refusal string) {
			t.Helper()
			r := c.PushManifest(t, at, "v2", "application/vnd.oci.image.manifest.v1+json", img.Manifest)
			if (r.Status == 201) != want || !want && (r.Status != 403 || !strings.Contains(r.Message(), refusal)) {
				t.Errorf("push by %s = %d %s, want allowed %t, %s", what, r.Status, r.Body, want, refusal)
			}
		}
		everybodyPulls := func(what string) {
			t.Helper()
			for _, c := range []*servertest.Client{s.Anonymous(t), may, mayNot, local, s.LoginPublic(t)} {
				if r := c.Do(t, "GET", "/v2/"+at+"/manifests/v1", nil); r.Status != 200 || !bytes.Equal(r.Body, img.Manifest) {
					t.Errorf("pull %s = %d %s, want the manifest", what, r.Status, r.Body)
				}
			}
		}
		const noResource, noIdentity = "because no resource-based policy allows the ecr-public:PutImage action", "because no identity-based policy allows the ecr-public:PutImage action"
		tryPush("another account without a policy", may, false, noResource)
		set := func(text string) {
			t.Helper()
			if err := setPolicy(t, s.ECRPublic(), nil, new("app"), text, true); err != nil {
				t.Fatal(err)
			}
			everybodyPulls("with the policy " + text)
		}
		set(share("Allow", `{"AWS":"111122223333"}`, push))
		tryPush("another account", may, true, "")
		tryPush("another account's user without a policy", mayNot, false, noIdentity)
		tryPush("a user of the account", local, false, noIdentity)
		may.Push(t, at, "v3", servertest.NewImage(2, 10))
		set(share("Allow", `{"AWS":"arn:aws:iam::123456789012:user/local"}`, push))
		tryPush("a user of the account who is named", local, true, "")
		tryPush("another account that is not named any more", may, false, noResource)
		set(share("Allow", `"*"`, push))
		tryPush("nobody, though everybody is named", s.Anonymous(t), false, "User: anonymous is not authorized")
		tryPush("everybody with an own policy", may, true, "")
		set(share("Deny", `"*"`, `"ecr-public:*"`))
		tryPush("the root that is denied it", s.LoginPublic(t), false, "with an explicit deny in a resource-based policy")
		tryPush("another account that is denied it", may, false, "with an explicit deny in a resource-based policy")
		set(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"ecr-public:PutImage","Condition":{"StringLike":{"ecr-public:ImageTag":"v2"}}}]}`)
		tryPush("who pushes a tag that is denied", s.LoginPublic(t), false, "with an explicit deny in a resource-based policy")
		s.LoginPublic(t).Push(t, at, "v4", img)
	})
}
