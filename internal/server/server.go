// Package server puts a Berth server together: it opens the data, makes the
// domains and the fronts, and serves them. It is assembly only.
package server

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"berth/internal/access"
	"berth/internal/audit"
	"berth/internal/authn"
	"berth/internal/aws"
	"berth/internal/aws/ecr"
	"berth/internal/aws/ecrpublic"
	"berth/internal/aws/iam"
	"berth/internal/aws/kms"
	"berth/internal/aws/organizations"
	"berth/internal/aws/servicequotas"
	"berth/internal/aws/sts"
	"berth/internal/blob"
	"berth/internal/blob/dirbucket"
	"berth/internal/config"
	"berth/internal/disk"
	"berth/internal/fault"
	"berth/internal/gc"
	"berth/internal/identity"
	"berth/internal/keys"
	"berth/internal/maintenance"
	"berth/internal/metadata"
	"berth/internal/move"
	"berth/internal/oci"
	"berth/internal/registry"
	"berth/internal/rotate"
	"berth/internal/scrub"
	"berth/internal/seal"
)

// Options are what a server can be given beside its configuration, by tests and
// by berth dev. The zero Options is a production server's.
type Options struct {
	Log *slog.Logger // nil for none
	// Now is the time that tokens, leases and records go by; time.Now if nil.
	// Signatures are always held against the real time.
	Now func() time.Time
	// Tokens verifies identity tokens instead of what the configuration makes.
	Tokens identity.TokenVerifier
	// DiskFree returns the bytes that are free, and all, of a path's file system, in place of
	// the system.
	DiskFree func(path string) (free, size int64, err error)
	// Observe is told of every decision about access.
	Observe func(access.Request, error)
	// Files, if not nil, comes between the layers in the data directory and the files
	// that they are in: there a test makes a disk fail.
	Files func(dirbucket.Files) dirbucket.Files
	// Idle has garbage removed only when somebody asks.
	Idle bool
	// Dev has further routes, for berth dev.
	Dev map[string]http.Handler
}

// Server is a Berth server. It is made by Open and must be closed.
type Server struct {
	config    *config.Config
	options   Options
	hosts     *registry.Hosts
	log       *slog.Logger
	metrics   *metrics
	proxies   []netip.Prefix
	quotas    map[string]int64
	storage   []registry.StorageQuota
	retained  time.Duration // for so long can be restored what was deleted
	grace     time.Duration // for so long stays a layer that nothing refers to
	leased    time.Duration // for so long one that somebody was told of
	delay     time.Duration // for so long the bytes of what was removed
	entrances []*entrance   // the main one first
	draining  atomic.Bool   // a shutdown has begun: not ready any more

	bucket    *blob.Places
	db        *metadata.DB
	mover     *move.Mover
	classes   *move.Classes // nil unless archived layers have a class of their own
	auditLog  *audit.Log
	decisions *audit.Decisions
	rotator   *rotate.Rotator
	garbage   *gc.Collector
	scrubber  *scrub.Scrubber
	disk      *disk.Watch
	lease     *rotate.Lease // nil for a server that has the database to itself
	registry  *registry.Registry
	directory *identity.Directory
	keys      *keys.Keyring

	maintenance *maintenance.Switch

	simulated bool // the time is not that of clocks

	stopJobs context.CancelFunc
	jobs     sync.WaitGroup
	closers  []func() error // run in reverse
}

// Open opens the data directory and the database and makes a server that is
// ready to serve. What it costs does not depend on how much is stored.
func Open(ctx context.Context, c *config.Config, o Options) (_ *Server, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	simulated := o.Now != nil
	if !simulated {
		o.Now = time.Now
	}
	s := &Server{config: c, options: o, log: o.Log, metrics: newMetrics(), simulated: simulated}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close(context.WithoutCancel(ctx)))
		}
	}()
	if s.proxies, err = c.Proxies(); err != nil {
		return nil, err
	}
	if s.quotas, s.storage, err = quotas(c); err != nil {
		return nil, err
	}
	if s.retained, err = c.Retention(); err != nil {
		return nil, err
	}
	if s.delay, err = c.RemovalDelay(); err != nil {
		return nil, err
	}
	if s.grace, s.leased, err = c.Garbage(); err != nil {
		return nil, err
	}
	if s.bucket, err = s.openData(ctx); err != nil {
		return nil, err
	}
	if err := s.claimPlaces(ctx, s.bucket); err != nil {
		return nil, err
	}
	return s, s.assemble(ctx)
}

// openData locks the data directory, unless it holds nothing, and opens the bucket
// and the database.
func (s *Server) openData(ctx context.Context) (*blob.Places, error) {
	if err := s.claimData(); err != nil {
		return nil, err
	}
	bucket, err := s.openBucket(ctx)
	if err != nil {
		return nil, err
	}
	if s.db, err = openDatabase(ctx, s.config); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.db.Close)
	if s.config.ReadOnly {
		s.db = s.db.ReadOnly(maintenance.RefusalByOption())
	}
	s.mover, s.classes = s.newMover(bucket), s.newClasses(bucket)
	return bucket, s.mover.Check(ctx)
}

func openDatabase(ctx context.Context, c *config.Config) (*metadata.DB, error) {
	if c.Database == "" {
		db, err := metadata.OpenSQLite(ctx, filepath.Join(c.Data, databaseFile))
		if err != nil {
			return nil, fmt.Errorf("open the database: %w", err)
		}
		return db, nil
	}
	db, err := metadata.OpenPostgres(ctx, c.Database)
	if err != nil {
		return nil, fmt.Errorf("open the database %s: %w", databaseURL(c.Database), err)
	}
	return db, nil
}

// assemble makes the domains, gives them their ports, and puts the fronts before
// them.
func (s *Server) assemble(ctx context.Context) error {
	master, err := s.masterKey(ctx)
	if err != nil {
		return err
	}
	if err := s.seals(ctx, master); err != nil {
		return err
	}
	root, err := RootKey(s.config)
	if err != nil {
		return err
	}
	if s.entrances, err = newEntrances(s.config); err != nil {
		return err
	}
	s.hosts = s.entrances[0].hosts
	s.auditLog = audit.NewLog(metadata.For[audit.ReadTx, audit.Tx](s.db).Keeper(), s.log)
	authorizer := &access.Authorizer{Observe: s.options.Observe, Now: s.options.Now}
	s.mover.Authorizer, s.mover.Auditor = authorizer, s.auditLog
	if s.directory, err = s.newDirectory(ctx, master, root, authorizer); err != nil {
		return err
	}
	authorizer.Source, authorizer.Organizations = s.directory, s.directory
	if err := s.newSwitch(ctx, authorizer); err != nil {
		return err
	}
	s.keys = s.newKeyring(master, authorizer)
	s.decisions = audit.NewDecisions(s.auditLog, authorizer, s.options.Now)
	auth := authn.New(authn.Options{
		Principals: s.directory, Passwords: master.Key("registry password"), Anonymous: master.Key("anonymous token"),
		Source: source, Endpoint: endpointOf, RequestID: requestID, Now: s.options.Now,
		AccessKeys: s.accessKeys(), Log: s.log,
	})
	blobs := blob.NewSealing(s.bucket, newKeyWrapper(master, s.keys), s.config.Seal != "off")
	s.mover.Blobs = blobs
	if err := s.watchDisk(); err != nil {
		return err
	}
	s.registry = s.newRegistry(master, auth, authorizer, blobs)
	s.rotator = &rotate.Rotator{
		Store: metadata.For[rotate.Tx, rotate.Tx](s.db), Blobs: blobs, Master: master,
		Authorizer: authorizer, Auditor: s.auditLog, Account: s.config.Account, Now: s.options.Now,
		Refused: s.maintenance.Refused,
	}
	if err := s.newCollector(authorizer); err != nil {
		return err
	}
	if s.scrubber, err = s.newScrubber(blobs, authorizer); err != nil {
		return err
	}
	if err := s.beginQuotas(ctx); err != nil {
		return err
	}
	for _, e := range s.entrances {
		if err := s.fronts(auth, e); err != nil {
			return err
		}
	}
	s.startJobs()
	s.log.Info("configuration of these features is stored but not acted on yet", "features", strings.Join(withoutEngine, ", "))
	s.announcePublic()
	return s.writeAddress()
}

// accessKeys returns what lets callers log in to registries with an access key, nil
// if nobody may. That counts as a use of the key.
func (s *Server) accessKeys() func(context.Context, access.Caller, bool) error {
	if s.config.PasswordLogin != "access-key" {
		return nil
	}
	return func(ctx context.Context, c access.Caller, first bool) error {
		s.directory.Used(c.AccessKeyID, s.config.Region, "ecr")
		return s.registry.MayLogIn(ctx, c, s.config.Region, first)
	}
}

// withoutEngine are the features whose configuration is checked and stored while
// nothing acts on it yet. docs/compatibility.md has them too.
var withoutEngine = []string{"pull-through cache", "replication", "scanning", "signing"}

func (s *Server) newDirectory(ctx context.Context, master *seal.Master, root identity.AccessKey, a *access.Authorizer) (*identity.Directory, error) {
	tokens, err := s.newTokens()
	if err != nil {
		return nil, err
	}
	d, err := identity.NewDirectory(ctx, identity.Options{
		Account: s.config.Account, Root: root, Store: metadata.For[identity.ReadTx, identity.Tx](s.db), Authorizer: a, Auditor: s.auditLog,
		Secrets: master.Key("access key"), Pages: master.Key("page token"), Now: s.options.Now,
		Tokens: tokens,
	})
	if err != nil {
		return nil, fmt.Errorf("open the accounts: %w", err)
	}
	return d, nil
}

// newKeyring makes the keys of KMS. Another [keys.Master] than a key of this process
// would be made here.
func (s *Server) newKeyring(master *seal.Master, a *access.Authorizer) *keys.Keyring {
	o := keys.Options{
		Store: metadata.For[keys.ReadTx, keys.Tx](s.db), Authorizer: a, Auditor: s.auditLog, Principals: s.directory,
		Master: keys.Local(master.Key("kms key")), Pages: master.Key("page token"), Tokens: master.Key("grant token"), Now: s.options.Now,
	}
	if s.maintenance != nil { // there is none where nothing but the database is open
		o.Refused = s.maintenance.Refused
	}
	if !s.simulated {
		o.Clock = s.db.Now
	}
	return keys.New(o)
}

func (s *Server) newRegistry(master *seal.Master, auth *authn.Authenticator, authorizer *access.Authorizer, blobs *blob.Store) *registry.Registry {
	return registry.New(registry.Options{
		Store:            metadata.For[registry.ReadTx, registry.Tx](s.db),
		Blobs:            blobs,
		Authorizer:       authorizer,
		Auditor:          s.auditLog,
		Tokens:           auth,
		Keys:             s.keys,
		Pages:            master.Key("page token"),
		Links:            master.Key("download link"),
		Now:              s.options.Now,
		RefuseSameDigest: s.config.ImmutableRepush == "refuse",
		Quotas:           s.quotas,
		StorageQuotas:    s.storage,
		RequestRates:     requestRates(s.config),
		Anonymous: registry.AnonymousLimits{
			RequestsPerSecond: s.config.AnonymousRate, Bytes: s.config.AnonymousBytes,
		},
		DeletedRetention: s.retained,
		Lease:            s.leased,
		HasRoom:          s.disk.HasRoom,
		Refused:          s.maintenance.Refused,
		Administrator:    s.config.Account,
		Principals:       s.directory,
		Suspect:          func(uid string) { s.scrubber.Suspect(uid) },
		Redirects:        s.config.S3Redirects == "on",
		ArchiveClass:     s.classes != nil,
	})
}

// fronts makes the fronts of an entrance and the routes to them.
func (s *Server) fronts(auth *authn.Authenticator, e *entrance) error {
	distribution := oci.New(oci.Options{
		Registry: s.registry, Hosts: e.hosts, VPCEndpoint: e.id, Authenticate: session(auth.Registry), Public: session(auth.Public),
		Nobody: nobody(auth), Token: auth.PublicToken, Fail: s.failed,
	})
	ecrService, err := ecr.New(ecr.Options{Registry: s.registry, Hosts: e.hosts, LinkURL: oci.LinkURL}).Service()
	if err != nil {
		return err
	}
	quotaService, err := servicequotas.New(s.registry).Service()
	if err != nil {
		return err
	}
	iamService, err := iam.New(s.directory).Service()
	if err != nil {
		return err
	}
	stsService, err := sts.New(s.directory).Service()
	if err != nil {
		return err
	}
	organizationService, err := organizations.New(s.directory).Service()
	if err != nil {
		return err
	}
	kmsService, err := kms.New(s.keys).Service()
	if err != nil {
		return err
	}
	services := []aws.Service[access.Call]{ecrService, quotaService, iamService, stsService, organizationService, kmsService}
	if !e.hosts.NoPublic {
		publicService, err := ecrpublic.New(ecrpublic.Options{Registry: s.registry, Hosts: e.hosts, LogoURL: oci.LogoURL}).Service()
		if err != nil {
			return err
		}
		services = append(services, publicService)
	}
	api, err := aws.New(aws.Options[access.Call]{
		Services: services, Begin: s.beginOrNobody(auth, e.hosts), RequestID: requestID, Refused: s.refused, Log: s.log,
	})
	if err != nil {
		return err
	}
	e.handler = s.instrument(e.through(s.routes(distribution, api, s.extensions(s.begin(auth, e.hosts)))))
	return nil
}

// warnBefore is how long before its password expires a client is warned.
const warnBefore = 15 * time.Minute

// session lets the distribution API ask package authn who is asking.
func session(authenticate func(*http.Request) (access.Caller, time.Duration, error)) func(*http.Request) (oci.Session, error) {
	return func(r *http.Request) (oci.Session, error) {
		c, left, err := authenticate(r)
		if err != nil {
			return oci.Session{}, err
		}
		i := infoOf(r)
		i.caller, i.anonymous = c.ARN, c.Type == access.Anonymous
		session := oci.Session{Caller: c}
		if left < warnBefore && c.Type != access.Anonymous {
			session.Warning = "Your authorization token expires in " + left.Truncate(time.Second).String() + ". Log in again."
		}
		return session, nil
	}
}

// nobody is session for what is for everybody.
func nobody(auth *authn.Authenticator) func(*http.Request) access.Caller {
	return func(r *http.Request) access.Caller {
		infoOf(r).anonymous = true
		return auth.Nobody(r)
	}
}

// begin lets the AWS APIs ask package authn who is asking. What was signed for a
// registry in somebody else's domain was meant for them, and is not taken from them.
func (s *Server) begin(auth *authn.Authenticator, hosts *registry.Hosts) func(*http.Request) (aws.Signature[access.Call], error) {
	return func(r *http.Request) (aws.Signature[access.Call], error) {
		signed, err := auth.Begin(r)
		if err == nil && hosts.Foreign(r.Host) {
			err = fault.New(fault.Unauthenticated, "InvalidSignatureException", "The request is signed for a host that is not one of this server's.")
		}
		if err == nil && !registry.ValidRegion(signed.Region()) {
			err = fault.New(fault.Unauthenticated, "InvalidSignatureException", "Credential should be scoped to a valid region.")
		}
		if err != nil {
			return aws.Signature[access.Call]{}, err
		}
		return aws.Signature[access.Call]{
			Service: signed.Service(),
			Verify: func(body [32]byte) (access.Call, error) {
				c, err := signed.Verify(hex.EncodeToString(body[:]))
				if err == nil {
					infoOf(r).caller = c.ARN
					if c.Session == nil {
						s.directory.Used(c.AccessKeyID, signed.Region(), signed.Service())
					}
				}
				return access.Call{Caller: c, Region: signed.Region()}, err
			},
		}, nil
	}
}

// beginOrNobody is begin for the APIs that have operations for everybody: who has
// signed nothing is nobody.
func (s *Server) beginOrNobody(auth *authn.Authenticator, hosts *registry.Hosts) func(*http.Request) (aws.Signature[access.Call], error) {
	begin := s.begin(auth, hosts)
	return func(r *http.Request) (aws.Signature[access.Call], error) {
		if !authn.Unsigned(r) {
			return begin(r)
		}
		return aws.Signature[access.Call]{Verify: func([32]byte) (access.Call, error) {
			infoOf(r).anonymous = true
			return access.Call{Caller: auth.Nobody(r), Region: s.config.Region}, nil
		}}, nil
	}
}

// refused records a call that no verb has seen. Calls of nobody leave no record:
// there would be no end to them.
func (s *Server) refused(c access.Call, service, operation string, err error) {
	if c.Type == access.Anonymous {
		return
	}
	rec := access.Record{
		Time: s.options.Now(), Caller: c.Caller, Service: service, Event: operation, Account: c.Account, Region: c.Region,
		Error: fault.CodeOf(err), Refusal: access.RefusalOf(err),
	}
	if e, ok := fault.As(err); ok {
		rec.Message = e.Message
	}
	s.auditLog.Record(rec)
}

// failed logs an error that is no fault of the client.
func (s *Server) failed(r *http.Request, err error) {
	s.log.Error("request failed", "id", requestID(r), "error", err)
}

// Registry is the domain behind the fronts.
func (s *Server) Registry() *registry.Registry { return s.registry }

// Bucket is where the layers are.
func (s *Server) Bucket() blob.Bucket { return s.bucket }

// Keys are the keys of KMS.
func (s *Server) Keys() *keys.Keyring { return s.keys }

// Handler serves every request to the server that comes through no endpoint.
func (s *Server) Handler() http.Handler { return s.entrances[0].handler }

// Close stores what is held in memory and releases everything. Requests must
// have ended.
func (s *Server) Close(ctx context.Context) error {
	var errs []error
	if s.stopJobs != nil {
		s.stopJobs()
		s.jobs.Wait()
		errs = append(errs, s.registry.FlushUsage(ctx), s.directory.FlushUses(ctx))
	}
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	s.closers = nil
	return errors.Join(errs...)
}
