package sts_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"berth/internal/config"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/credentials"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
)

func TestGetCallerIdentityNamesTheRoot(t *testing.T) {
	t.Parallel()
	other := func(c *config.Config) { c.Account = "210987654321" }
	for account, o := range map[string]servertest.Options{
		"123456789012": {}, "210987654321": {Configure: other},
	} {
		servertest.Each(t, o, func(t *testing.T, s *servertest.Server) {
			out, err := s.STS().GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
			if err != nil {
				t.Fatal(err)
			}
			if *out.Account != account || *out.Arn != "arn:aws:iam::"+account+":root" || *out.UserId != account {
				t.Errorf("GetCallerIdentity = %s, %s, %s, want the root of %s", *out.Account, *out.Arn, *out.UserId, account)
			}
		})
	}
}

func TestGetCallerIdentityRefuses(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	for name, tt := range map[string]struct{ id, secret, session, code, message string }{
		"an unknown key": {"AKIAOTHER", "the secret of the root", "", "InvalidClientTokenId", "The security token included in the request is invalid."},
		"another secret": {
			"AKIAROOT", "another secret", "", "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. " +
				"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
		},
		"a session that is none": {"AKIAROOT", "the secret of the root", "token", "InvalidClientTokenId", "The security token included in the request is invalid."},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.AWS()
			c.Credentials = credentials.NewStaticCredentialsProvider(tt.id, tt.secret, tt.session)
			_, err := sts.NewFromConfig(c).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
			if code, message := servertest.ErrorCode(err), servertest.ErrorMessage(err); code != tt.code || message != tt.message {
				t.Errorf("error = %s: %s\nwant    %s: %s", code, message, tt.code, tt.message)
			}
		})
	}
}

// decode returns the password of an authorization token.
func decode(t *testing.T, token string) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	_, password, _ := strings.Cut(string(b), ":")
	return password
}

// stsTags and iamTags return tags of pairs of key and value.
func stsTags(pairs ...string) (out []types.Tag) {
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, types.Tag{Key: &pairs[i], Value: &pairs[i+1]})
	}
	return out
}

func iamTags(pairs ...string) (out []iamtypes.Tag) {
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, iamtypes.Tag{Key: &pairs[i], Value: &pairs[i+1]})
	}
	return out
}
