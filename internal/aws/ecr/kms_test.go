package ecr_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/internal/access"
	"berth/internal/fault"
	"berth/internal/registry"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// withKey creates a repository with a KMS key, "" for the key that AWS manages.
func withKey(t *testing.T, c *ecr.Client, name, key string) (*types.Repository, error) {
	t.Helper()
	e := &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeKms}
	if key != "" {
		e.KmsKey = &key
	}
	out, err := c.CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: &name, EncryptionConfiguration: e})
	if err != nil {
		return nil, err
	}
	return out.Repository, nil
}

// grantsOn returns how many grants there are on a key for a repository.
func grantsOn(t *testing.T, c *kms.Client, key, repository string) int {
	t.Helper()
	n := 0
	for p := kms.NewListGrantsPaginator(c, &kms.ListGrantsInput{KeyId: &key}); p.HasMorePages(); {
		for _, g := range must(p.NextPage(t.Context()))(t).Grants {
			if g.Constraints != nil && g.Constraints.EncryptionContextSubset["aws:ecr:arn"] == repository {
				n++
			}
		}
	}
	return n
}

// wantKMS fails the test unless a call has failed for the state of a KMS key.
func wantKMS(t *testing.T, what string, err error, reason string) {
	t.Helper()
	var e *types.KmsException
	if !errors.As(err, &e) || e.KmsError == nil || *e.KmsError != reason {
		t.Errorf("%s = %v, want KmsException %s", what, err, reason)
	}
}

func TestRepositoriesHaveKMSKeys(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, k, ctx := s.ECR(), s.KMS(), t.Context()
		key := s.CreateKey(t)
		id := key[strings.LastIndexByte(key, '/')+1:]
		must(k.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: new("alias/mine"), TargetKeyId: &key}))(t)
		for name, ref := range map[string]string{"arn": key, "id": id, "alias": "alias/mine", "alias-arn": strings.Replace(key, "key/"+id, "alias/mine", 1)} {
			repo := must(withKey(t, c, name, ref))(t)
			wantEqual(t, "the key by its "+name, *repo.EncryptionConfiguration.KmsKey, key)
			wantEqual(t, "the key described", *described(t, c, name).EncryptionConfiguration.KmsKey, key)
			wantEqual(t, "grants", grantsOn(t, k, key, *repo.RepositoryArn), 2)
		}
		arn := *described(t, c, "arn").RepositoryArn
		_, err := withKey(t, c, "arn", key)
		wantEqual(t, "created twice", servertest.ErrorCode(err), "RepositoryAlreadyExistsException")
		_, err = c.CreateRepository(ctx, &ecr.CreateRepositoryInput{
			RepositoryName: new("bad"), Tags: []types.Tag{{Key: new("aws:x"), Value: new("y")}},
			EncryptionConfiguration: &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeKms, KmsKey: &key},
		})
		wantEqual(t, "with a bad tag", servertest.ErrorCode(err), "InvalidTagParameterException")
		wantEqual(t, "grants of what was not created", grantsOn(t, k, key, strings.Replace(arn, "/arn", "/bad", 1)), 0)
		wantEqual(t, "grants after that", grantsOn(t, k, key, arn), 2)
		must(c.DeleteRepository(ctx, &ecr.DeleteRepositoryInput{RepositoryName: new("arn")}))(t)
		wantEqual(t, "grants of the deleted", grantsOn(t, k, key, arn), 0)
		must(withKey(t, c, "arn", key))(t)
		wantEqual(t, "grants of the next one", grantsOn(t, k, key, arn), 2)

		for ref, reason := range map[string]string{
			"alias/none": "NotFoundException", "x": "NotFoundException", "arn:aws:kms:us-west-2:123456789012:key/" + id: "NotFoundException",
			"arn:aws:kms:us-east-1:111122223333:key/" + id: "AccessDeniedException",
		} {
			_, err := withKey(t, c, "no", ref)
			wantKMS(t, "CreateRepository with "+ref, err, reason)
		}
		user := ecr.NewFromConfig(s.CreateUserOf(t, s.AWS(), "alice", servertest.Allow("ecr:*")))
		_, err = withKey(t, user, "hers", key)
		wantKMS(t, "CreateRepository by who has no right to the key", err, "AccessDeniedException")
		must(withKey(t, user, "hers", ""))(t)
		must(k.DisableKey(ctx, &kms.DisableKeyInput{KeyId: &key}))(t)
		_, err = withKey(t, c, "no", key)
		wantKMS(t, "CreateRepository with a disabled key", err, "DisabledException")
		must(k.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: &key}))(t)
		_, err = withKey(t, c, "no", key)
		wantKMS(t, "CreateRepository with a key that is to be deleted", err, "KMSInvalidStateException")
		must(c.DeleteRepository(ctx, &ecr.DeleteRepositoryInput{RepositoryName: new("arn")}))(t)
	})
}

// Pushes and pulls need the key, and nothing else does.
func TestPushesAndPullsNeedTheKey(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, k, ctx, client := s.ECR(), s.KMS(), t.Context(), s.Login(t)
		key := s.CreateKey(t)
		repo := must(withKey(t, c, "app", key))(t)
		img := servertest.NewImage(1, 10)
		client.Push(t, "app", "v1", img)
		client.PushBlob(t, "app", []byte("{}"))
		client.PushManifest(t, "app", "note", ocispec.MediaTypeImageManifest, servertest.Referrer(img, "application/vnd.example", "a note")).Want(t, 201)
		subject := digest.FromBytes(img.Manifest).String()
		upload := must(c.InitiateLayerUpload(ctx, &ecr.InitiateLayerUploadInput{RepositoryName: new("app")}))(t).UploadId
		open := client.Do(t, "POST", "/v2/app/blobs/uploads/", nil).Want(t, 202).Header.Get("Location")
		layer := digest.FromBytes(img.Layers[0]).String()
		client.Do(t, "GET", "/v2/app/blobs/"+layer, nil).Want(t, 200)

		refuses := func(reason string) {
			t.Helper()
			_, err := c.InitiateLayerUpload(ctx, &ecr.InitiateLayerUploadInput{RepositoryName: new("app")})
			wantKMS(t, "InitiateLayerUpload", err, reason)
			_, err = c.UploadLayerPart(ctx, &ecr.UploadLayerPartInput{RepositoryName: new("app"), UploadId: upload, PartFirstByte: new(int64(0)), PartLastByte: new(int64(0)), LayerPartBlob: []byte("x")})
			wantKMS(t, "UploadLayerPart", err, reason)
			_, err = c.CompleteLayerUpload(ctx, &ecr.CompleteLayerUploadInput{RepositoryName: new("app"), UploadId: upload, LayerDigests: []string{layer}})
			wantKMS(t, "CompleteLayerUpload", err, reason)
			_, err = c.PutImage(ctx, &ecr.PutImageInput{RepositoryName: new("app"), ImageManifest: new(string(img.Manifest)), ImageTag: new("v2")})
			wantKMS(t, "PutImage", err, reason)
			_, err = c.GetDownloadUrlForLayer(ctx, &ecr.GetDownloadUrlForLayerInput{RepositoryName: new("app"), LayerDigest: &layer})
			wantEqual(t, "GetDownloadUrlForLayer", servertest.ErrorCode(err), "KmsException")
			got := must(c.BatchGetImage(ctx, &ecr.BatchGetImageInput{RepositoryName: new("app"), ImageIds: []types.ImageIdentifier{{ImageTag: new("v1")}}}))(t)
			if len(got.Images) != 0 || len(got.Failures) != 1 || got.Failures[0].FailureCode != types.ImageFailureCodeKmsError || *got.Failures[0].ImageId.ImageTag != "v1" {
				t.Errorf("BatchGetImage = %v, %v", got.Images, got.Failures)
			}
			_, err = c.ListImageReferrers(ctx, &ecr.ListImageReferrersInput{RepositoryName: new("app"), SubjectId: &types.SubjectIdentifier{ImageDigest: &subject}})
			wantKMS(t, "ListImageReferrers", err, reason)
			for _, path := range []string{"GET /v2/app/referrers/" + subject, "GET /v2/app/manifests/v1", "HEAD /v2/app/manifests/v1", "GET /v2/app/blobs/" + layer, "POST /v2/app/blobs/uploads/", "PUT /v2/app/manifests/v2"} {
				method, path, _ := strings.Cut(path, " ")
				r := client.Do(t, method, path, img.Manifest).Want(t, http.StatusForbidden)
				if method != "HEAD" && (r.Code() != "DENIED" || !strings.Contains(r.Message(), reason)) {
					t.Errorf("%s %s = %s", method, path, r.Body)
				}
			}
			must(c.DescribeImages(ctx, &ecr.DescribeImagesInput{RepositoryName: new("app")}))(t)
			must(c.ListImages(ctx, &ecr.ListImagesInput{RepositoryName: new("app")}))(t)
		}
		must(k.DisableKey(ctx, &kms.DisableKeyInput{KeyId: &key}))(t)
		refuses("DisabledException")
		client.Do(t, "DELETE", open, nil).Want(t, 204) // frees what it holds
		must(k.EnableKey(ctx, &kms.EnableKeyInput{KeyId: &key}))(t)
		client.Do(t, "GET", "/v2/app/manifests/v1", nil).Want(t, 200)

		before := must(k.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: &key}))(t).Policy
		deny := strings.Replace(*before, `"Statement" : [`, `"Statement" : [{"Effect":"Deny","Principal":"*","Action":"kms:Decrypt","Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:aws:ecr:arn":"`+*repo.RepositoryArn+`"}}},`, 1)
		must(k.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: &key, Policy: &deny}))(t)
		refuses("AccessDeniedException")
		must(withKey(t, c, "other", key))(t)
		client.Push(t, "other", "v1", img)
		must(k.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: &key, Policy: before}))(t)
		client.Do(t, "GET", "/v2/app/manifests/v1", nil).Want(t, 200)

		for _, g := range must(k.ListGrants(ctx, &kms.ListGrantsInput{KeyId: &key}))(t).Grants {
			if g.Constraints.EncryptionContextSubset["aws:ecr:arn"] == *repo.RepositoryArn {
				must(k.RevokeGrant(ctx, &kms.RevokeGrantInput{KeyId: &key, GrantId: g.GrantId}))(t)
			}
		}
		refuses("AccessDeniedException")
		client.Do(t, "GET", "/v2/other/manifests/v1", nil).Want(t, 200)
		must(k.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: &key, PendingWindowInDays: new(int32(7))}))(t)
		refuses("KMSInvalidStateException")
		s.Clock.Advance(7 * 24 * time.Hour)
		if err := s.Server().Keys().RunDue(ctx); err != nil {
			t.Fatal(err)
		}
		client = s.Login(t)
		refuses("NotFoundException")
	})
}

// A push that makes a repository needs the right to its key.
func TestAPushNeedsTheKeyOfTheTemplate(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx := s.ECR(), t.Context()
		key := s.CreateKey(t)
		createTemplate(t, c, &ecr.CreateRepositoryCreationTemplateInput{
			Prefix: new("own"), EncryptionConfiguration: &types.EncryptionConfigurationForRepositoryCreationTemplate{EncryptionType: types.EncryptionTypeKms, KmsKey: &key},
		})
		alice := s.LoginAs(t, s.CreateUserOf(t, s.AWS(), "alice", servertest.Allow("ecr:*")))
		r := alice.Do(t, "POST", "/v2/own/app/blobs/uploads/", nil).Want(t, 403)
		wantEqual(t, "a push by who has no right to the key", r.Code(), "DENIED")
		_, err := c.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{RepositoryNames: []string{"own/app"}})
		wantEqual(t, "the repository", servertest.ErrorCode(err), "RepositoryNotFoundException")
		bob := s.LoginAs(t, s.CreateUserOf(t, s.AWS(), "bob", servertest.Allow("ecr:*", "kms:DescribeKey", "kms:CreateGrant")))
		bob.Push(t, "own/app", "v1", servertest.NewImage(1, 10))
		repo := described(t, c, "own/app")
		wantEqual(t, "the key", *repo.EncryptionConfiguration.KmsKey, key)
		wantEqual(t, "grants", grantsOn(t, s.KMS(), key, *repo.RepositoryArn), 2)
		alice.Push(t, "own/app", "v2", servertest.NewImage(2, 10))
	})
}

// A push makes no repository whose key ECR may not use.
func TestAPushMakesNoRepositoryThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, k, ctx := s.ECR(), s.KMS(), t.Context()
		key := s.CreateKey(t)
		before := *must(k.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: &key}))(t).Policy
		deny := strings.Replace(before, `"Statement" : [`, `"Statement" : [{"Effect":"Deny","Principal":{"Service":"ecr.us-east-1.amazonaws.com"},"Action":"kms:GenerateDataKey","Resource":"*"},`, 1)
		must(k.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: &key, Policy: &deny}))(t)
		createTemplate(t, c, &ecr.CreateRepositoryCreationTemplateInput{
			Prefix: new("own"), EncryptionConfiguration: &types.EncryptionConfigurationForRepositoryCreationTemplate{EncryptionType: types.EncryptionTypeKms, KmsKey: &key},
		})
		_, err := c.InitiateLayerUpload(ctx, &ecr.InitiateLayerUploadInput{RepositoryName: new("own/app")})
		wantKMS(t, "InitiateLayerUpload", err, "AccessDeniedException")
		_, err = c.PutImage(ctx, &ecr.PutImageInput{RepositoryName: new("own/app"), ImageManifest: new(string(servertest.Index())), ImageTag: new("v1")})
		wantKMS(t, "PutImage", err, "AccessDeniedException")
		_, err = c.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{RepositoryNames: []string{"own/app"}})
		wantEqual(t, "the repository", servertest.ErrorCode(err), "RepositoryNotFoundException")
		wantEqual(t, "grants", grantsOn(t, k, key, "arn:aws:ecr:us-east-1:123456789012:repository/own/app"), 0)
	})
}

// Of those who push to a repository first, at the same time, one makes it, and ECR keeps
// the right to the key once.
func TestPushingFirstAtOnceMakesOneRepository(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx := s.ECR(), t.Context()
		key := s.CreateKey(t)
		createTemplate(t, c, &ecr.CreateRepositoryCreationTemplateInput{
			Prefix: new("own"), EncryptionConfiguration: &types.EncryptionConfigurationForRepositoryCreationTemplate{EncryptionType: types.EncryptionTypeKms, KmsKey: &key},
		})
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				if _, err := c.InitiateLayerUpload(ctx, &ecr.InitiateLayerUploadInput{RepositoryName: new("own/app")}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		arn := *described(t, c, "own/app").RepositoryArn
		wantEqual(t, "grants", grantsOn(t, s.KMS(), key, arn), 2)
		must(c.DeleteRepository(ctx, &ecr.DeleteRepositoryInput{RepositoryName: new("own/app")}))(t)
		wantEqual(t, "grants of the deleted", grantsOn(t, s.KMS(), key, arn), 0)
	})
}

// What a call leaves that was broken off before it had made its repository is not there
// for long.
func TestGrantsWithoutARepositoryEnd(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		k, ring := s.KMS(), s.Server().Keys()
		key := s.CreateKey(t)
		arn := *must(withKey(t, s.ECR(), "app", key))(t).RepositoryArn
		root := access.Call{Region: servertest.Region, Caller: access.Caller{Account: servertest.Account, ARN: "arn:aws:iam::123456789012:root", ID: servertest.Account, Type: access.Root}}
		if _, _, err := ring.AllowRepository(t.Context(), root, key, arn, "of none"); err != nil {
			t.Fatal(err)
		}
		must(k.CreateGrant(t.Context(), &kms.CreateGrantInput{KeyId: &key, GranteePrincipal: &root.ARN, Operations: []kmstypes.GrantOperation{"Decrypt"}}))(t)
		for _, want := range []int{4, 2, 2} {
			must(0, ring.RunDue(t.Context()))(t)
			wantEqual(t, "grants for the repository", grantsOn(t, k, key, arn), want)
			s.Clock.Advance(61 * time.Minute)
		}
		wantEqual(t, "all grants", len(must(k.ListGrants(t.Context(), &kms.ListGrantsInput{KeyId: &key}))(t).Grants), 3)
		s.Login(t).Push(t, "app", "v1", servertest.NewImage(1, 10))
	})
}

// A repository that is restored is sealed under its key again, if who restores it has
// the right to that.
func TestARestoredRepositoryHasItsKey(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, k, client := s.ECR(), s.KMS(), s.Login(t)
		key := s.CreateKey(t)
		arn := *must(withKey(t, c, "app", key))(t).RepositoryArn
		client.Push(t, "app", "v1", servertest.NewImage(1, 10))
		must(c.DeleteRepository(t.Context(), &ecr.DeleteRepositoryInput{RepositoryName: new("app"), Force: true}))(t)
		restore := func(as access.Caller) error {
			_, err := s.Server().Registry().RestoreRepository(t.Context(), as, registry.RestoreRepositoryInput{
				Ref: registry.Ref{ID: registry.ID{Account: servertest.Account, Region: servertest.Region}, Name: "app"},
			})
			return err
		}
		root := access.Caller{Account: servertest.Account, ARN: "arn:aws:iam::123456789012:root", ID: servertest.Account, Type: access.Root}
		must(k.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: &key}))(t)
		wantEqual(t, "RestoreRepository with a disabled key", fault.CodeOf(restore(root)), "KmsException")
		must(k.EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: &key}))(t)
		wantEqual(t, "grants before", grantsOn(t, k, key, arn), 0)
		must(0, restore(root))(t)
		wantEqual(t, "grants of the restored", grantsOn(t, k, key, arn), 2)
		wantEqual(t, "RestoreRepository again", fault.CodeOf(restore(root)), "RepositoryAlreadyExistsException")
		wantEqual(t, "grants after that", grantsOn(t, k, key, arn), 2)
		client.Do(t, "GET", "/v2/app/manifests/v1", nil).Want(t, 200)
	})
}

// Whoever creates and deletes a repository at the same time, the one that is left may
// be used, and nothing is left of the others.
func TestCreatingAndDeletingRepositoriesWithKeysAtOnce(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c, ctx := s.ECR(), t.Context()
		key := s.CreateKey(t)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 5 {
					_, _ = withKey(t, c, "app", key)
					_, _ = c.DeleteRepository(ctx, &ecr.DeleteRepositoryInput{RepositoryName: new("app")})
				}
			})
		}
		all.Wait()
		_, err := withKey(t, c, "app", key)
		if code := servertest.ErrorCode(err); code != "" && code != "RepositoryAlreadyExistsException" {
			t.Error(err)
		}
		must(c.InitiateLayerUpload(ctx, &ecr.InitiateLayerUploadInput{RepositoryName: new("app")}))(t)
		wantEqual(t, "grants", grantsOn(t, s.KMS(), key, *described(t, c, "app").RepositoryArn), 2)
	})
}
