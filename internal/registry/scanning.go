package registry

import (
	"context"
	"slices"
	"strings"

	"berth/internal/access"
	"berth/internal/fault"
)

// scanningConfiguration is the name that a registry's scanning is stored under.
const scanningConfiguration = "scanning"

// The kinds of scanning.
const (
	BasicScan    = "BASIC"
	EnhancedScan = "ENHANCED"
)

// The frequencies of scans.
const (
	ScanManually     = "MANUAL"
	ScanOnPush       = "SCAN_ON_PUSH"
	ScanContinuously = "CONTINUOUS_SCAN"
)

// frequencies are what each kind of scanning can do, rarest first.
var frequencies = map[string][]string{
	BasicScan:    {ScanManually, ScanOnPush},
	EnhancedScan: {ScanOnPush, ScanContinuously},
}

// Scanning says which images of a registry are scanned, and when.
type Scanning struct {
	Type  string         `json:"scanType"`
	Rules []ScanningRule `json:"rules"` // at most one for each frequency
}

// ScanningRule says which repositories' images are scanned at a frequency.
type ScanningRule struct {
	Frequency string   `json:"scanFrequency"`
	Filters   []string `json:"repositoryFilters"` // none stands for no repository
}

// complete checks a configuration and fills in what is left to ECR.
func (s *Scanning) complete() error {
	if s.Type == "" {
		s.Type = BasicScan
	}
	may := frequencies[s.Type]
	if may == nil {
		return invalidParameter("scanType", "Member must satisfy enum value set: [BASIC, ENHANCED]")
	}
	seen := map[string]bool{}
	for _, rule := range s.Rules {
		if !slices.Contains(may, rule.Frequency) {
			return invalidParameter("rules", "the scan frequencies of scan type "+s.Type+" are "+strings.Join(may, " and "))
		}
		if seen[rule.Frequency] {
			return invalidParameter("rules", "there can be only one rule for the scan frequency "+rule.Frequency)
		}
		seen[rule.Frequency] = true
	}
	return nil
}

// scanFilterMatches reports whether a filter is for a repository: one without a *
// for every name that contains it, others for names that match as a whole.
func scanFilterMatches(filter string, name RepositoryName) bool {
	if !strings.Contains(filter, "*") {
		return strings.Contains(string(name), filter)
	}
	return wildcard(filter, string(name))
}

// RepositoryScanning says when a repository's images are scanned, and by which
// filters.
type RepositoryScanning struct {
	Ref
	OnPush    bool
	Frequency string
	Filters   []string
}

// of returns what the configuration means for a repository. The rule of the
// greatest frequency that has a filter for it counts. The repository's own
// setting counts for basic scanning if no rule does.
func (s *Scanning) of(repo *Repository) RepositoryScanning {
	out := RepositoryScanning{Ref: repo.Ref, Frequency: ScanManually}
	for _, frequency := range frequencies[s.Type] {
		for _, rule := range s.Rules {
			matching := slices.DeleteFunc(slices.Clone(rule.Filters), func(f string) bool { return !scanFilterMatches(f, repo.Name) })
			if rule.Frequency == frequency && len(matching) > 0 {
				out.Frequency, out.Filters = frequency, matching
			}
		}
	}
	if s.Type == BasicScan && repo.ScanOnPush && out.Frequency == ScanManually {
		out.Frequency, out.Filters = ScanOnPush, nil
	}
	out.OnPush = out.Frequency == ScanOnPush
	return out
}

func scanningOf(tx ReadTx, id ID) (Scanning, error) {
	s := Scanning{Type: BasicScan}
	_, err := tx.Configuration(id, scanningConfiguration, &s)
	return s, err
}

// PutRegistryScanningConfiguration replaces the registry's scanning, and returns
// it completed. Errors: InvalidParameterException.
func (r *Registry) PutRegistryScanningConfiguration(ctx context.Context, c access.Caller, id ID, in Scanning) (Scanning, error) {
	q := request{caller: c, event: "PutRegistryScanningConfiguration", ref: Ref{ID: id}, params: in}
	err := r.configure(ctx, q, "scanning", func(tx Tx) error {
		if err := in.complete(); err != nil {
			return err
		}
		return tx.PutConfiguration(id, scanningConfiguration, in)
	})
	return in, err
}

// GetRegistryScanningConfiguration returns the registry's scanning: basic without
// rules if it was never put.
func (r *Registry) GetRegistryScanningConfiguration(ctx context.Context, c access.Caller, id ID) (Scanning, error) {
	var out Scanning
	q := request{caller: c, event: "GetRegistryScanningConfiguration", ref: Ref{ID: id}, readOnly: true}
	err := r.viewAll(ctx, q, func(tx ReadTx) error {
		var err error
		out, err = scanningOf(tx, id)
		return err
	})
	return out, err
}

// PutImageScanningConfigurationInput is what PutImageScanningConfiguration is
// asked for.
type PutImageScanningConfigurationInput struct {
	Ref
	ScanOnPush bool `json:"scanOnPush"`
}

// PutImageScanningConfiguration says whether the repository's images are scanned
// when they are pushed. Errors: RepositoryNotFoundException.
func (r *Registry) PutImageScanningConfiguration(ctx context.Context, c access.Caller, in PutImageScanningConfigurationInput) error {
	q := request{caller: c, event: "PutImageScanningConfiguration", ref: in.Ref, params: in, lock: LockChange}
	return r.update(ctx, q, func(tx Tx, repo *Repository) error {
		repo.ScanOnPush = in.ScanOnPush
		if err := tx.UpdateRepository(repo); err != nil {
			return err
		}
		return tx.Emit(Event{Kind: RepositoryChanged, Ref: in.Ref, RepositoryUID: repo.UID, Time: r.now()})
	})
}

// BatchGetScanningInput is what BatchGetRepositoryScanningConfiguration is asked
// for.
type BatchGetScanningInput struct {
	ID
	Names []RepositoryName `json:"repositoryNames"`
}

// ScanningFailure names a repository that there is not.
type ScanningFailure struct {
	Ref
	Reason string
}

// BatchGetRepositoryScanningConfiguration returns what scanning means for
// repositories, in the order of the names, and a failure for each repository
// that there is not. The caller must be allowed to ask about each.
func (r *Registry) BatchGetRepositoryScanningConfiguration(ctx context.Context, c access.Caller, in BatchGetScanningInput) ([]RepositoryScanning, []ScanningFailure, error) {
	var found []RepositoryScanning
	var failures []ScanningFailure
	q := request{caller: c, event: "BatchGetRepositoryScanningConfiguration", ref: Ref{ID: in.ID, Name: "*"}, params: in, readOnly: true}
	err := r.viewTx(ctx, q, func(tx ReadTx) error {
		found, failures = nil, nil
		scanning, err := scanningOf(tx, in.ID)
		if err != nil {
			return err
		}
		for _, name := range in.Names {
			q.ref.Name = name
			repo, err := r.open(ctx, tx, q)
			if e, ok := fault.As(err); ok && e.Code == "RepositoryNotFoundException" {
				failures = append(failures, ScanningFailure{q.ref, e.Message})
				continue
			}
			if err != nil {
				return err
			}
			found = append(found, scanning.of(repo))
		}
		return nil
	})
	return found, failures, err
}

// DescribeImageScanFindings tells what the scan of an image has found. No image
// has been scanned yet. Errors: RepositoryNotFoundException,
// ImageNotFoundException, ScanNotFoundException, InvalidParameterException.
func (r *Registry) DescribeImageScanFindings(ctx context.Context, c access.Caller, in ImageInput) error {
	q := request{caller: c, event: "DescribeImageScanFindings", ref: in.Ref, params: in, readOnly: true}
	return r.view(ctx, q, func(tx ReadTx, repo *Repository) error {
		if _, err := mustFind(tx, repo, in.Image); err != nil {
			return err
		}
		return errScanNotFound(in.Ref, in.Image)
	})
}
