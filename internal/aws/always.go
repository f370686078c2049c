package aws

import "github.com/aws/smithy-go"

// A zeroMember is a member that is sent even when it is zero.
type zeroMember struct {
	name string
	zero string // in JSON
}

func ecrShape(name string) smithy.ShapeID {
	return smithy.ShapeID{Namespace: "com.amazonaws.ecr", Name: name}
}

func ecrPublicShape(name string) smithy.ShapeID {
	return smithy.ShapeID{Namespace: "com.amazonaws.ecrpublic", Name: name}
}

func quotaShape(name string) smithy.ShapeID {
	return smithy.ShapeID{Namespace: "com.amazonaws.servicequotas", Name: name}
}

func organizationShape(name string) smithy.ShapeID {
	return smithy.ShapeID{Namespace: "com.amazonaws.organizations", Name: name}
}

func kmsShape(name string) smithy.ShapeID {
	return smithy.ShapeID{Namespace: "com.amazonaws.kms", Name: name}
}

// alwaysSent has the members that the services send although they are false or
// 0, by structure. The SDK holds these as plain bool and float64 and its
// generated Serialize drops their zero values; every such member of an output
// is here. Members that the SDK holds as pointers are sent when they are set.
var alwaysSent = map[smithy.ShapeID][]zeroMember{
	ecrShape("CvssScore"):                            {{"baseScore", "0"}},
	ecrShape("CvssScoreDetails"):                     {{"score", "0"}},
	ecrShape("EnhancedImageScanFinding"):             {{"score", "0"}},
	ecrShape("ImageScanningConfiguration"):           {{"scanOnPush", "false"}},
	ecrShape("RepositoryScanningConfiguration"):      {{"scanOnPush", "false"}},
	ecrShape("ValidatePullThroughCacheRuleResponse"): {{"isValid", "false"}},
	organizationShape("PolicySummary"):               {{"AwsManaged", "false"}},
	kmsShape("GetKeyRotationStatusResponse"):         {{"KeyRotationEnabled", "false"}},
	kmsShape("KeyMetadata"):                          {{"Enabled", "false"}},
	kmsShape("ListAliasesResponse"):                  {{"Truncated", "false"}},
	kmsShape("ListGrantsResponse"):                   {{"Truncated", "false"}},
	kmsShape("ListKeyPoliciesResponse"):              {{"Truncated", "false"}},
	kmsShape("ListKeyRotationsResponse"):             {{"Truncated", "false"}},
	kmsShape("ListKeysResponse"):                     {{"Truncated", "false"}},
	kmsShape("ListResourceTagsResponse"):             {{"Truncated", "false"}},
	quotaShape("RequestedServiceQuotaChange"):        {{"GlobalQuota", "false"}},
	quotaShape("ServiceQuota"):                       {{"Adjustable", "false"}, {"GlobalQuota", "false"}},
	ecrPublicShape("RegistryAlias"):                  {{"primaryRegistryAlias", "false"}, {"defaultRegistryAlias", "false"}},
}
