package identity

import (
	"crypto/sha256"
	"encoding/base32"
	"slices"
	"strings"
	"time"
)

const (
	builtInAccount = "aws"
	builtInPrefix  = "arn:aws:iam::aws:policy/"
)

// builtInPolicy is a managed policy of AWS's.
type builtInPolicy struct {
	Entity
	document string
}

// builtInSince is when the policies of AWS are said to have been made.
var builtInSince = time.Date(2015, 2, 6, 18, 40, 0, 0, time.UTC)

func managed(path, name, description, statements string) builtInPolicy {
	sum := sha256.Sum256([]byte(name))
	return builtInPolicy{Entity{
		ID: idPrefixes[Policy] + base32.StdEncoding.EncodeToString(sum[:])[:17], Account: builtInAccount, Kind: Policy, Name: name, Path: path,
		Description: description, CreatedAt: builtInSince, UpdatedAt: builtInSince, DefaultVersion: 1, LastVersion: 1,
	}, `{"Version":"2012-10-17","Statement":[` + statements + `]}`}
}

// allow is a statement that allows actions on everything.
func allow(actions ...string) string {
	return `{"Effect":"Allow","Action":["` + strings.Join(actions, `","`) + `"],"Resource":"*"}`
}

// serviceRoleCreation lets a principal make the role that ECR's replication has.
const serviceRoleCreation = `{"Effect":"Allow","Action":["iam:CreateServiceLinkedRole"],"Resource":"*",` +
	`"Condition":{"StringEquals":{"iam:AWSServiceName":["replication.ecr.amazonaws.com"]}}}`

var (
	ecrReads = []string{
		"ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:GetRepositoryPolicy",
		"ecr:DescribeRepositories", "ecr:ListImages", "ecr:DescribeImages", "ecr:BatchGetImage", "ecr:GetLifecyclePolicy",
		"ecr:GetLifecyclePolicyPreview", "ecr:ListTagsForResource", "ecr:DescribeImageScanFindings",
	}
	ecrPushes   = []string{"ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage"}
	publicReads = []string{
		"ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken", "ecr-public:BatchCheckLayerAvailability", "ecr-public:GetRepositoryPolicy",
		"ecr-public:DescribeRepositories", "ecr-public:DescribeRegistries", "ecr-public:DescribeImages", "ecr-public:DescribeImageTags",
		"ecr-public:GetRepositoryCatalogData", "ecr-public:GetRegistryCatalogData", "ecr-public:ListTagsForResource",
	}
	publicPushes = []string{
		"ecr-public:InitiateLayerUpload", "ecr-public:UploadLayerPart", "ecr-public:CompleteLayerUpload", "ecr-public:PutImage",
	}
)

// builtIns are the managed policies of AWS's that there are, by name.
var builtIns = sorted([]builtInPolicy{
	managed("/", "AdministratorAccess", "Provides full access to AWS services and resources.", allow("*")),
	managed("/", "IAMFullAccess", "Provides full access to IAM.",
		allow("iam:*", "organizations:DescribeAccount", "organizations:DescribeOrganization", "organizations:ListPolicies")),
	managed("/", "IAMReadOnlyAccess", "Provides read only access to IAM.",
		allow("iam:GenerateCredentialReport", "iam:Get*", "iam:List*", "iam:SimulateCustomPolicy", "iam:SimulatePrincipalPolicy")),
	managed("/", "AmazonEC2ContainerRegistryFullAccess", "Provides administrative access to Amazon ECR resources.",
		allow("ecr:*", "cloudtrail:LookupEvents")+","+serviceRoleCreation),
	managed("/", "AmazonEC2ContainerRegistryPowerUser", "Provides full access to Amazon ECR repositories, but not to their deletion or policies.",
		allow(append(slices.Clone(ecrReads), ecrPushes...)...)),
	managed("/", "AmazonEC2ContainerRegistryReadOnly", "Provides read-only access to Amazon ECR repositories.", allow(ecrReads...)),
	managed("/", "AmazonEC2ContainerRegistryPullOnly", "Provides the access that pulling from Amazon ECR takes.",
		allow("ecr:GetAuthorizationToken", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage", "ecr:BatchImportUpstreamImage")),
	managed("/", "AmazonElasticContainerRegistryPublicFullAccess", "Provides administrative access to Amazon ECR Public resources.",
		allow("ecr-public:*", "sts:GetServiceBearerToken")),
	managed("/", "AmazonElasticContainerRegistryPublicPowerUser", "Provides full access to Amazon ECR Public repositories, but not to their deletion or policies.",
		allow(append(slices.Clone(publicReads), publicPushes...)...)),
	managed("/", "AmazonElasticContainerRegistryPublicReadOnly", "Provides read-only access to Amazon ECR Public repositories.", allow(publicReads...)),
	managed("/service-role/", "AmazonECSTaskExecutionRolePolicy", "Provides the access that running tasks of Amazon ECS takes.",
		allow("ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage",
			"logs:CreateLogStream", "logs:PutLogEvents")),
	managed(serviceRolePath, "ECRReplicationServiceRolePolicy", "The access that the replication of Amazon ECR takes.",
		allow("ecr:CreateRepository", "ecr:ReplicateImage")),
	managed(serviceRolePath, "AWSECRPullThroughCache_ServiceRolePolicy", "The access that the pull through cache of Amazon ECR takes.",
		allow("ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart",
			"ecr:CompleteLayerUpload", "ecr:PutImage")+
			`,{"Effect":"Allow","Action":["secretsmanager:GetSecretValue"],"Resource":"arn:aws:secretsmanager:*:*:secret:ecr-pullthroughcache/*",`+
			`"Condition":{"StringEquals":{"aws:ResourceAccount":"${aws:PrincipalAccount}"}}}`),
})

func sorted(all []builtInPolicy) []builtInPolicy {
	slices.SortFunc(all, func(a, b builtInPolicy) int { return strings.Compare(nameKey(a.Name), nameKey(b.Name)) })
	return all
}

func builtInARN(path, name string) string {
	return "arn:aws:iam::" + builtInAccount + ":policy" + path + name
}

// builtIn returns the policy of AWS's that has an ARN, nil if there is none.
func builtIn(arn string) *Entity {
	for _, b := range builtIns {
		if b.ARN() == arn {
			return &b.Entity
		}
	}
	return nil
}

func isBuiltIn(e *Entity) bool { return e.Account == builtInAccount }

func builtInDocument(e *Entity) string {
	for _, b := range builtIns {
		if b.ID == e.ID {
			return b.document
		}
	}
	return ""
}
