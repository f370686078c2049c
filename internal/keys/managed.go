package keys

import (
	"context"

	"berth/internal/access"

	"github.com/google/uuid"
)

// managedAlias is the alias of the key that AWS manages for ECR.
const managedAlias = "alias/aws/ecr"

// isManaged reports whether a name is that of AWS's own key of the caller's account.
func (k *Keyring) isManaged(c access.Call, ref string) bool {
	return ref == managedAlias || ref == arnOf(c.Account, c.Region, managedAlias)
}

// managedPolicy is the policy of AWS's own key: whoever may use ECR in the account may
// use it through ECR, and look at it.
func managedPolicy(account, region string) string {
	return `{
  "Version" : "2012-10-17",
  "Id" : "auto-ecr-1",
  "Statement" : [ {
    "Sid" : "Allow access through Amazon ECR for all principals in the account that are authorized to use Amazon ECR",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "*"
    },
    "Action" : [ "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:CreateGrant", "kms:DescribeKey", "kms:RetireGrant" ],
    "Resource" : "*",
    "Condition" : {
      "StringEquals" : {
        "kms:ViaService" : "` + ecrService(region) + `",
        "kms:CallerAccount" : "` + account + `"
      }
    }
  }, {
    "Sid" : "Allow direct access to key metadata to the account",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "arn:aws:iam::` + account + `:root"
    },
    "Action" : [ "kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant" ],
    "Resource" : "*"
  } ]
}`
}

// ensureManaged makes AWS's own key for ECR if it is not there.
func (k *Keyring) ensureManaged(ctx context.Context, account, region string) error {
	var there *Alias
	err := k.store.View(ctx, func(tx ReadTx) (err error) {
		there, err = tx.KMSAlias(account, region, managedAlias)
		return err
	})
	if err != nil || there != nil {
		return err
	}
	now := k.time()
	key := &Key{
		ID: uuid.NewString(), Account: account, Region: region, Manager: AWS, State: Enabled, Policy: managedPolicy(account, region), CreatedAt: now,
		Description: "Default key that protects my ECR data when no other key is defined", RotationDays: usualRotation, RotationAt: now.Add(usualRotation * day),
	}
	m, err := k.newMaterial(ctx, key, 1, "")
	if err != nil {
		return err
	}
	return k.store.Update(ctx, func(tx Tx) error {
		if err := tx.LockAccount(account); err != nil {
			return err
		}
		if there, err := tx.KMSAlias(account, region, managedAlias); err != nil || there != nil {
			return err
		}
		if err := tx.InsertKMSKey(key); err != nil {
			return err
		}
		if err := tx.InsertKMSMaterial(m); err != nil {
			return err
		}
		if err := tx.PutKMSAlias(Alias{account, region, managedAlias, key.ID, now, now}); err != nil {
			return err
		}
		return tx.Record(k.event(key, "CreateKey"))
	})
}
