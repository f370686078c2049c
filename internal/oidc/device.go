package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"time"
)

const (
	deviceGrant     = "urn:ietf:params:oauth:grant-type:device_code"
	deviceInterval  = 5 * time.Second // between questions, unless the issuer says otherwise
	slowDown        = 5 * time.Second // more, each time that the issuer asks for it
	maxDeviceWait   = time.Minute     // between questions, whatever the issuer says
	maxDeviceSecret = 4096
)

// RunDevice is Run for a machine that has no browser: the person opens an address
// on another one and types in a code (RFC 8628). Whoever types in the code logs in
// this machine.
func (l *Login) RunDevice(ctx context.Context) (string, *Token, error) {
	at, err := l.discover(ctx)
	if err != nil {
		return "", nil, err
	}
	if at.device == "" || at.token == "" {
		return "", nil, errors.New("the issuer has no login by https for devices")
	}
	started, err := l.post(ctx, at.device, url.Values{"client_id": {l.ClientID}, "scope": {l.scope()}})
	if err != nil {
		return "", nil, err
	}
	device, _ := started["device_code"].(string)
	code, _ := started["user_code"].(string)
	address, _ := started["verification_uri"].(string)
	if whole, ok := started["verification_uri_complete"].(string); ok && strings.HasPrefix(whole, "https://") {
		address = whole
	}
	if device == "" || len(device) > maxDeviceSecret || code == "" || len(code) > 100 || !clean(code) || !strings.HasPrefix(address, "https://") || !clean(address) {
		return "", nil, errors.New("the issuer's answer has no code, or no address by https")
	}
	if err := l.OpenWithCode(address, code); err != nil {
		return "", nil, err
	}
	document, err := l.await(ctx, at.token, device, seconds(started["interval"], deviceInterval))
	if err != nil {
		return "", nil, err
	}
	return l.identityToken(ctx, document)
}

// await asks for the tokens until the person has logged in.
func (l *Login) await(ctx context.Context, endpoint, device string, interval time.Duration) (map[string]any, error) {
	sleep := l.Sleep
	if sleep == nil {
		sleep = wait
	}
	for {
		if err := sleep(ctx, min(interval, maxDeviceWait)); err != nil {
			return nil, err
		}
		document, err := l.post(ctx, endpoint, url.Values{"grant_type": {deviceGrant}, "device_code": {device}, "client_id": {l.ClientID}})
		var r *refusal
		switch {
		case err == nil:
			return document, nil
		case !errors.As(err, &r):
			return nil, err
		case r.code == "slow_down":
			interval += slowDown
		case r.code != "authorization_pending":
			return nil, err
		}
	}
}

// seconds reads a member that is a number of seconds.
func seconds(v any, standard time.Duration) time.Duration {
	n, _ := v.(json.Number)
	whole, err := n.Int64()
	if err != nil || whole < 1 || whole > int64(maxDeviceWait/time.Second) {
		return standard
	}
	return time.Duration(whole) * time.Second
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
