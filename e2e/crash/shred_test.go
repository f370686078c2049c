//go:build unix

package crash

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// destroying has a KMS key destroyed, whose time comes by the clock of berth dev, and its
// backing key taken out of the files. The server looks once a minute for such keys.
func destroying(from string) *world {
	return &world{name: "key destruction", verb: "dev", from: from, env: plain, players: func() []*player {
		id := ""
		return []*player{newPlayer([]step{{name: "destroy a key", do: func(c *client) error { return destroy(c, &id) }}})}
	}}
}

// destroy makes a key, unless there is one, and returns when it has been destroyed.
func destroy(c *client, id *string) error {
	ctx, service := context.Background(), kms.NewFromConfig(c.config())
	if *id == "" {
		made, err := service.CreateKey(ctx, &kms.CreateKeyInput{})
		if err != nil {
			return called(err)
		}
		*id = *made.KeyMetadata.KeyId
	}
	var gone *types.NotFoundException
	var pending *types.KMSInvalidStateException
	_, err := service.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: id, PendingWindowInDays: new(int32(7))})
	if err != nil && !errors.As(err, &pending) && !errors.As(err, &gone) {
		return called(err)
	}
	if _, err := c.want(http.StatusOK, "PUT", "/_berth/v1/clock", []byte("+192h")); err != nil {
		return err
	}
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(500 * time.Millisecond) {
		was := gone != nil
		if _, err := service.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: id}); err != nil && !errors.As(err, &gone) {
			return called(err)
		}
		if was {
			return nil // half a second ago already: the files have been seen to
		}
	}
	return fmt.Errorf("the key %s is still there", *id)
}
