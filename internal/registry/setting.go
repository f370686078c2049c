package registry

import (
	"context"
	"maps"
	"slices"
	"strings"

	"berth/internal/access"
)

// BlobMounting is the account setting that says whether layers may be mounted
// from another repository of the registry.
const BlobMounting = "BLOB_MOUNTING"

// settings are the account settings, with the values that Berth can act by; the
// first is what holds until another one is put.
var settings = map[string][]string{
	BlobMounting:              {"ENABLED", "DISABLED"},
	LifecycleExtensions:       {"DISABLED", "ENABLED"},
	"BASIC_SCAN_TYPE_VERSION": {"AWS_NATIVE"},
	"REGISTRY_POLICY_SCOPE":   {"V2"},
}

// retired says why values that ECR took in earlier years are refused.
var retired = map[string]string{
	"BASIC_SCAN_TYPE_VERSION=CLAIR": "CLAIR is not supported: basic scans are those of AWS_NATIVE",
	"REGISTRY_POLICY_SCOPE=V1":      "V1 is not supported: a registry policy is about every action, as it is with V2",
}

// Setting is an account setting of a registry.
type Setting struct {
	ID
	Name  string `json:"name"`
	Value string `json:"value,omitempty"`
}

// PutAccountSetting changes a setting of the registry. A value that Berth
// could not act by is refused. Errors: InvalidParameterException.
func (r *Registry) PutAccountSetting(ctx context.Context, c access.Caller, in Setting) error {
	q := request{caller: c, event: "PutAccountSetting", ref: Ref{ID: in.ID}, params: in,
		context: map[string][]string{"ecr:AccountSetting": {in.Name}}}
	err := r.updateAll(ctx, q, func(tx Tx) error {
		if err := checkSetting(in.Name); err != nil {
			return err
		}
		if !slices.Contains(settings[in.Name], in.Value) {
			return errSettingValue(in)
		}
		if err := tx.PutSetting(in.ID, in.Name, in.Value); err != nil {
			return err
		}
		if in.Name == LifecycleExtensions { // policies may have waited for it
			if err := tx.RenewLifecyclePolicies(in.ID, r.now()); err != nil {
				return err
			}
		}
		return tx.Emit(Event{Kind: SettingChanged, Ref: Ref{ID: in.ID}, Time: r.now(), Detail: in.Name})
	})
	if err == nil {
		r.WakeLifecycle()
	}
	return err
}

// GetAccountSetting returns the value of a setting. Errors:
// InvalidParameterException.
func (r *Registry) GetAccountSetting(ctx context.Context, c access.Caller, id ID, name string) (Setting, error) {
	s := Setting{ID: id, Name: name}
	q := request{caller: c, event: "GetAccountSetting", ref: Ref{ID: id}, params: s, readOnly: true,
		context: map[string][]string{"ecr:AccountSetting": {name}}}
	err := r.viewAll(ctx, q, func(tx ReadTx) error {
		if err := checkSetting(name); err != nil {
			return err
		}
		var err error
		if s.Value, err = tx.Setting(id, name); s.Value == "" {
			s.Value = settings[name][0]
		}
		return err
	})
	return s, err
}

func checkSetting(name string) error {
	if settings[name] == nil {
		return invalidParameter("name", "Member must satisfy enum value set: ["+strings.Join(slices.Sorted(maps.Keys(settings)), ", ")+"]")
	}
	return nil
}

func errSettingValue(s Setting) error {
	if why, ok := retired[s.Name+"="+s.Value]; ok {
		return invalidParameter("value", why)
	}
	return invalidParameter("value", "Member must satisfy enum value set: ["+strings.Join(settings[s.Name], ", ")+"]")
}
