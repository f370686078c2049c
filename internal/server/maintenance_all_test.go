package server_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"berth/internal/aws/servicequotas"
	"berth/internal/server"
	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

// goesOn are what only reads by its name. All else is a change, and must be refused in
// read-only mode.
var goesOn = regexp.MustCompile(`\A(GET |HEAD |Describe|Get|List|BatchGet|BatchCheck|Simulate|AssumeRole$|Encrypt$|Decrypt$|ReEncrypt$|GenerateDataKey|GenerateRandom)`)

// extensionsGoOn are the extensions that change nothing that is kept for anybody.
var extensionsGoOn = []string{
	server.BacktestPath, server.TagHistoryPath, server.DeletedImagesPath, server.DeletedRepositoriesPath, server.QuotaListPath, server.TokenPath,
	server.SessionsPath, server.BindingsPath, server.ExplainPath, server.GCStatusPath, server.GCExplainPath, server.DecisionPath,
	server.ScrubRunPath, server.ScrubStatusPath, server.MaintenanceOnPath, server.MaintenanceStatusPath,
	server.ProtectionPath, // as it is asked here
}

// failsFirst are those for which there is nothing here: what they end with, as they do
// otherwise.
var failsFirst = map[string]string{
	"RegisterPullTimeUpdateExclusion": "AlreadyExists", "CreatePullThroughCacheRule": "AlreadyExists", "CreateRepositoryCreationTemplate": "AlreadyExists",
	"GetRolePolicy": "NoSuchEntity", "GetUserPolicy": "NoSuchEntity", "GetGroupPolicy": "NoSuchEntity", "GetAccessKeyLastUsed": "NoSuchEntity",
	"GetServiceLinkedRoleDeletionStatus": "NoSuchEntity",
	"CreateOrganization":                 "AlreadyInOrganizationException", "EnablePolicyType": "PolicyTypeAlreadyEnabledException",
	"DeleteGroupPolicy": "NoSuchEntity", "DeleteRolePolicy": "NoSuchEntity", "DeleteUserPolicy": "NoSuchEntity",
	"DeleteAccessKey": "NoSuchEntity", "UpdateAccessKey": "NoSuchEntity", "DeleteAccountAlias": "NoSuchEntity",
	"DetachGroupPolicy": "NoSuchEntity", "DetachRolePolicy": "NoSuchEntity", "DetachUserPolicy": "NoSuchEntity",
	"DeleteRolePermissionsBoundary": "NoSuchEntity", "DeleteUserPermissionsBoundary": "NoSuchEntity",
	"DeletePolicyVersion": "DeleteConflict", "DeleteServiceLinkedRole": "InvalidInput", "DetachPolicy": "PolicyNotAttachedException",
	"CancelKeyDeletion": "KMSInvalidStateException", "PutKeyPolicy": "MalformedPolicyDocumentException",
}

// noted are tables of what is kept about reading, and by servers about themselves, and
// columns are such columns of others.
var (
	noted = []string{"audit_records", "audit_batches", "decisions", "usage", "sessions", "access_key_uses", "leases", "sealers",
		"scrub_state", "maintenance", "goose_db_version"}
	notedColumns = []string{"lease_until", "pulled_at"}
)

// facts returns what is in the database but for what is noted, by table.
func facts(t *testing.T, s *servertest.Server) map[string][]string {
	t.Helper()
	driver, url, list := "pgx", s.Config.Database, `SELECT tablename FROM pg_tables WHERE schemaname = current_schema()`
	if url == "" {
		driver, url, list = "sqlite", filepath.Join(s.Config.Data, "berth.db"), `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`
	}
	db, err := sql.Open(driver, url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	out := map[string][]string{}
	for _, name := range rowsIn(t, db, list) {
		if name = strings.Trim(name, "[]"); !slices.Contains(noted, name) {
			out[name] = rowsIn(t, db, `SELECT * FROM `+name)
			slices.Sort(out[name])
		}
	}
	return out
}

func rowsIn(t *testing.T, db *sql.DB, query string) (out []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		if err := rows.Scan(values...); err != nil {
			t.Fatal(err)
		}
		var row []string
		for i, c := range columns {
			if !slices.Contains(notedColumns, c) {
				row = append(row, fmt.Sprint(*values[i].(*any)))
			}
		}
		out = append(out, fmt.Sprint(row))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// maintain turns the switch and returns the answer.
func maintain(t testing.TB, s *servertest.Server, path, body string) (out server.MaintenanceResponse) {
	t.Helper()
	status, text := s.PostAs(t, s.AWS(), path, body)
	if err := json.Unmarshal([]byte(text), &out); err != nil || status != 200 {
		t.Fatalf("%s = %d %s, %v", path, status, text, err)
	}
	return out
}

// question is a request that is otherwise granted, or ends with an error of which fails is
// a part.
type question struct {
	name  string
	reads bool
	fails string
	ask   func() (code, text string)
}

// shelf is a repository with an image, and what is asked about it.
type shelf struct {
	client *servertest.Client
	at     string
	upload string
}

func newShelf(t *testing.T, c *servertest.Client, at string, img servertest.Image) shelf {
	t.Helper()
	c.Push(t, at, "v1", img)
	upload := c.Do(t, "POST", "/v2/"+at+"/blobs/uploads/", nil).Want(t, 202).Header.Get("Location")
	c.Do(t, "PATCH", upload, []byte("abc")).Want(t, 202)
	return shelf{c, at, path.Base(upload)}
}

// fill puts the repository into a request.
func (b shelf) fill(img servertest.Image) *strings.Replacer {
	return strings.NewReplacer("ACCOUNT", servertest.Account, "/NAME", "/"+b.at, "NAME", "team/app", "UPLOAD", b.upload, "TAG", "v1",
		"MANIFEST", string(servertest.JSON(string(img.Manifest))), "LAYER", digest.FromBytes(img.Layers[0]).String(),
		"DIGEST", digest.FromBytes(img.Layers[0]).String(), "NEW", digest.FromString("abc").String())
}

// answerOf gives the answer to a call of ECR's or an extension the form of an error.
func answerOf(status int, text string) (string, string) {
	if status == 200 {
		return "", ""
	}
	return fmt.Sprint(status), text
}

// questions are requests for every operation of every service, about what they make.
func questions(t *testing.T, s *servertest.Server) (all []question) {
	t.Helper()
	img := servertest.NewImage(1, 10)
	s.CreateRepository(t, "team/app")
	private := newShelf(t, s.Login(t), "team/app", img)
	public := newShelf(t, s.LoginPublic(t), s.CreatePublicRepository(t, "team/app"), img)
	here, there := private.fill(img), strings.NewReplacer("ACCOUNT", servertest.Account, "NAME", "team/app", "UPLOAD", public.upload,
		"MANIFEST", string(servertest.JSON(string(img.Manifest))), "LAYER", digest.FromBytes(img.Layers[0]).String(), "NEW", digest.FromString("abc").String())
	for _, a := range operations {
		if a.before != "" {
			if status, text := call(t, s, a.before, here.Replace(operations[a.before].body)); status != 200 {
				t.Fatal(a.before, text)
			}
		}
	}
	for _, made := range []string{"CreatePullThroughCacheRule", "CreateRepositoryCreationTemplate", "RegisterPullTimeUpdateExclusion"} {
		if status, text := call(t, s, made, here.Replace(operations[made].body)); status != 200 {
			t.Fatal(made, text)
		}
	}
	for name, body := range map[string]string{
		"CreatePullThroughCacheRule":       `{"ecrRepositoryPrefix":"new","upstreamRegistryUrl":"quay.io"}`,
		"CreateRepositoryCreationTemplate": `{"prefix":"new","appliedFor":["REPLICATION"]}`,
		"RegisterPullTimeUpdateExclusion":  `{"principalArn":"arn:aws:iam::123456789012:role/new"}`,
	} {
		all = append(all, question{name, false, "", func() (string, string) { return answerOf(call(t, s, name, body)) }})
	}
	for name, a := range operations {
		all = append(all, question{name, goesOn.MatchString(name), a.fails, func() (string, string) {
			return answerOf(call(t, s, name, here.Replace(a.body)))
		}})
	}
	for name, a := range publicOperations {
		all = append(all, question{name, goesOn.MatchString(name), a.fails, func() (string, string) {
			return answerOf(callPublic(t, s, name, there.Replace(a.body)))
		}})
	}
	for at, a := range extensions {
		if at != server.MaintenanceOffPath {
			all = append(all, question{at, slices.Contains(extensionsGoOn, at), a.fails, func() (string, string) {
				return answerOf(s.PostAs(t, s.AWS(), at, here.Replace(a.body)))
			}})
		}
	}
	for e := range servertest.EndpointActions {
		for _, b := range []shelf{private, public} {
			all = append(all, b.endpoint(t, e, img))
		}
	}
	fillAccount(t, s)
	s.CreateAccount(t, memberAccount)
	units, _ := fillOrganization(t, s)
	_, ring := fillKeys(t, s)
	arns := filler("arn:aws:iam::" + servertest.Account + ":")
	sdk := func(client any, name, input string) {
		all = append(all, question{name, goesOn.MatchString(name), "", func() (string, string) {
			_, err := invoke(t.Context(), client, name, input)
			return servertest.ErrorCode(err), servertest.ErrorMessage(err)
		}})
	}
	for name, a := range iamOperations {
		sdk(s.IAM(), name, arns.Replace(a.input))
	}
	for name, a := range kmsOperations {
		sdk(s.KMS(), name, ring.Replace(a.input))
	}
	for name, a := range organizationOperations {
		sdk(organizations.NewFromConfig(s.AWS()), name, units.Replace(a.input))
	}
	all = append(all, question{"protect", false, "", func() (string, string) {
		return answerOf(s.PostAs(t, s.AWS(), server.ProtectionPath, `{"registryId":"`+servertest.Account+`","repositoryName":"team/app","enabled":true}`))
	}})
	sdk(s.ServiceQuotas(), "RequestServiceQuotaIncrease", `{"ServiceCode":"ecr","QuotaCode":"L-CFEB8E8D","DesiredValue":200000}`)
	return all
}

// endpoint is a request to an endpoint of the distribution API.
func (b shelf) endpoint(t *testing.T, e servertest.Endpoint, img servertest.Image) question {
	target, body := b.fill(img).Replace(e.Path), []byte(nil)
	switch {
	case strings.Contains(target, "manifests") && e.Method == "PUT":
		target, body = target+"2", img.Manifest
	case e.Method == "PUT":
		target, body = target+"?digest="+digest.FromString("abcdef").String(), []byte("def")
	case e.Method == "PATCH":
		body = []byte("def")
	}
	name, fails := e.Method+" "+e.Path, ""
	if strings.Contains(e.Path, "_catalog") && b.at != "team/app" || e.Method == "DELETE" && strings.Contains(e.Path, "blobs/DIGEST") {
		fails = "UNSUPPORTED" // there is no list, and the layer is in use
	}
	if fails != "" && e.Method == "HEAD" {
		fails = "404"
	}
	return question{name, goesOn.MatchString(name), fails, func() (string, string) {
		r := b.client.Do(t, e.Method, target, body, "Content-Type", "application/vnd.oci.image.manifest.v1+json")
		switch {
		case r.Status < 300:
			return "", ""
		case strings.Contains(r.Message(), "read-only") && (r.Status != 405 || r.Code() != "UNSUPPORTED"):
			t.Errorf("%s = %d %s, want 405 UNSUPPORTED", name, r.Status, r.Body)
		}
		return fmt.Sprint(r.Status), string(r.Body)
	}}
}

// Whatever is asked for, of any service, with a request that would otherwise be granted: a
// change is refused with the reason, whoever asks, and nothing is changed.
func TestNothingIsChangedInReadOnlyMode(t *testing.T) {
	t.Parallel()
	service, err := servicequotas.New(nil).Service()
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range service.Operations {
		if op.Refused == "" && !goesOn.MatchString(op.Name) && op.Name != "RequestServiceQuotaIncrease" {
			t.Errorf("%s is not in this test", op.Name)
		}
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		all := questions(t, s)
		if got := maintain(t, s, server.MaintenanceOnPath, `{"reason":"the disk is replaced"}`); !got.ReadOnly || got.Principal == "" || got.Since.IsZero() {
			t.Errorf("on = %+v", got)
		}
		before := facts(t, s)
		refused, answered := 0, 0
		for _, q := range all {
			code, text := q.ask()
			readOnly := strings.Contains(text, "The registry is in read-only mode for maintenance: the disk is replaced. ")
			fails := q.fails
			if fails == "" {
				fails = failsFirst[q.name]
			}
			switch failed := fails != "" && strings.Contains(code+text, fails); {
			case q.reads && !readOnly && (code == "" || failed):
				answered++
			case !q.reads && readOnly:
				refused++
			case q.reads || !failed:
				t.Errorf("%s = %s %s, while read-only (it changes something: %t)", q.name, code, text, !q.reads)
			}
		}
		if diff := cmp.Diff(before, facts(t, s)); diff != "" {
			t.Errorf("what was refused has changed something (-before +after):\n%s", diff)
		}
		if refused < 120 {
			t.Errorf("%d changes were refused for this reason, want them to be more: what fails otherwise shows nothing", refused)
		}
		t.Logf("%d changes were refused, %d requests answered", refused, answered)
		if got := maintain(t, s, server.MaintenanceOffPath, `{}`); got.ReadOnly {
			t.Errorf("off = %+v", got)
		}
		s.Login(t).Push(t, "team/app", "v2", servertest.NewImage(2, 10))
	})
}
