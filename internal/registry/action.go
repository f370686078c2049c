package registry

// actions are all that the policies of a service's repositories and registries can
// be about: ECR's operations, but for ListImageReferrers, which is ecr:BatchGetImage,
// and what only policies name; and those of ECR Public, with what pulls are. Those
// of other services mean nothing in the policy of a repository.
var actions = map[string][]string{"ecr": privateActions, "ecr-public": publicActions}

var publicActions = []string{
	"ecr-public:BatchCheckLayerAvailability", "ecr-public:BatchDeleteImage", "ecr-public:BatchGetImage", "ecr-public:CompleteLayerUpload",
	"ecr-public:CreateRepository", "ecr-public:DeleteRepository", "ecr-public:DeleteRepositoryPolicy", "ecr-public:DescribeImageTags",
	"ecr-public:DescribeImages", "ecr-public:DescribeRegistries", "ecr-public:DescribeRepositories", "ecr-public:GetAuthorizationToken",
	"ecr-public:GetDownloadUrlForLayer", "ecr-public:GetRegistryCatalogData", "ecr-public:GetRepositoryCatalogData",
	"ecr-public:GetRepositoryPolicy", "ecr-public:InitiateLayerUpload", "ecr-public:ListImages", "ecr-public:ListTagsForResource",
	"ecr-public:PutImage", "ecr-public:PutRegistryCatalogData", "ecr-public:PutRepositoryCatalogData", "ecr-public:SetRepositoryPolicy",
	"ecr-public:TagResource", "ecr-public:UntagResource", "ecr-public:UploadLayerPart",
}

var privateActions = []string{
	"ecr:BatchCheckLayerAvailability", "ecr:BatchDeleteImage", "ecr:BatchGetImage", "ecr:BatchGetRepositoryScanningConfiguration",
	"ecr:BatchImportUpstreamImage", "ecr:CompleteLayerUpload", "ecr:CreatePullThroughCacheRule", "ecr:CreateRepository",
	"ecr:CreateRepositoryCreationTemplate", "ecr:DeleteLifecyclePolicy", "ecr:DeletePullThroughCacheRule", "ecr:DeleteRegistryPolicy",
	"ecr:DeleteRepository", "ecr:DeleteRepositoryCreationTemplate", "ecr:DeleteRepositoryPolicy", "ecr:DeleteSigningConfiguration",
	"ecr:DeregisterPullTimeUpdateExclusion", "ecr:DescribeImageReplicationStatus", "ecr:DescribeImageScanFindings",
	"ecr:DescribeImageSigningStatus", "ecr:DescribeImages", "ecr:DescribePullThroughCacheRules", "ecr:DescribeRegistry",
	"ecr:DescribeReplicationBackfillResults", "ecr:DescribeRepositories", "ecr:DescribeRepositoryCreationTemplates",
	"ecr:GetAccountSetting", "ecr:GetAuthorizationToken", "ecr:GetDownloadUrlForLayer", "ecr:GetImageCopyStatus",
	"ecr:GetLifecyclePolicy", "ecr:GetLifecyclePolicyPreview", "ecr:GetRegistryPolicy", "ecr:GetRegistryScanningConfiguration",
	"ecr:GetRepositoryPolicy", "ecr:GetSigningConfiguration", "ecr:InitiateLayerUpload", "ecr:ListImages",
	"ecr:ListPullTimeUpdateExclusions", "ecr:ListReplicationBackfills", "ecr:ListTagsForResource", "ecr:PutAccountSetting",
	"ecr:PutImage", "ecr:PutImageScanningConfiguration", "ecr:PutImageTagMutability", "ecr:PutLifecyclePolicy",
	"ecr:PutRegistryPolicy", "ecr:PutRegistryScanningConfiguration", "ecr:PutReplicationConfiguration", "ecr:PutSigningConfiguration",
	"ecr:RegisterPullTimeUpdateExclusion", "ecr:ReplicateImage", "ecr:SetRepositoryPolicy", "ecr:StartImageScan",
	"ecr:StartLifecyclePolicyPreview", "ecr:StartReplicationBackfill", "ecr:StopReplicationBackfill", "ecr:TagResource",
	"ecr:UntagResource", "ecr:UpdateImageStorageClass", "ecr:UpdatePullThroughCacheRule", "ecr:UpdateRepositoryCreationTemplate",
	"ecr:UploadLayerPart", "ecr:ValidatePullThroughCacheRule",
}
