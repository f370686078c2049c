package registry

// actions are all that ECR's policies can be about: its operations, but for
// ListImageReferrers, which is ecr:BatchGetImage, and what only policies name.
// Those of other services mean nothing in the policy of a repository.
var actions = []string{
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
