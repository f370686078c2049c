package server_test

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/opencontainers/go-digest"
)

// exchange sends bytes on a connection of its own and returns the statuses of
// the answers, until the server ends the connection or, after the last bytes,
// answers a probe.
func exchange(t testing.TB, s *servertest.Server, raw string) []int {
	t.Helper()
	return speak(t, s, raw+"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", false)
}

// speak is exchange without the probe, for what ends the connection by itself or,
// if the client has to say that it has ended, with it.
func speak(t testing.TB, s *servertest.Server, raw string, end bool) []int {
	t.Helper()
	conn, err := net.Dial("tcp", s.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, raw) // the server may have ended the connection already
	if end {
		_ = conn.(*net.TCPConn).CloseWrite()
	}
	var all []int
	in := bufio.NewReader(conn)
	for {
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			return all // the end, or the reset that a refusal can come with
		}
		body, _ := io.ReadAll(res.Body) // what counts is how many there are
		_ = res.Body.Close()
		if string(body) == "ok\n" {
			return all
		}
		all = append(all, res.StatusCode)
	}
}

// asked returns the actions that were decided since the last call.
func asked(s *servertest.Server) []string {
	var all []string
	for _, d := range s.Decisions() {
		all = append(all, d.Action)
	}
	return all
}

// Requests whose ends a proxy and the server could see at different places. What
// stands behind them is a request of somebody else to the one that errs: it must
// never be carried out.
func TestRequestsCannotBeSmuggled(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	s.CreateRepository(t, "app")
	auth := "Host: x\r\nAuthorization: Basic " + base64.StdEncoding.EncodeToString([]byte("AWS:"+s.Password(t))) + "\r\n"
	smuggled := "GET /v2/app/tags/list HTTP/1.1\r\n" + auth + "\r\n"
	post := "POST /v2/app/blobs/uploads/ HTTP/1.1\r\n" + auth
	length := fmt.Sprintf("Content-Length: %d\r\n", len(smuggled))
	const chunked, none = "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"

	s.Decisions()
	if got := exchange(t, s, post+"\r\n"+smuggled); !slices.Equal(got, []int{202, 200}) || !slices.Equal(asked(s), []string{"ecr:InitiateLayerUpload", "ecr:ListImages"}) {
		t.Fatalf("two requests in order = %v, want both carried out: else this test shows nothing", got)
	}
	for _, test := range []struct {
		name, raw string
		refused   bool
	}{
		{"chunks and a length", post + fmt.Sprintf("Content-Length: %d\r\n", len(none+smuggled)) + chunked + "\r\n" + none + smuggled, false},
		{"a length and chunks", post + chunked + fmt.Sprintf("Content-Length: %d\r\n", len(none)) + "\r\n" + none + smuggled, false},
		{"two lengths", post + "Content-Length: 0\r\n" + length + "\r\n" + smuggled, true},
		{"two lengths the other way", post + length + "Content-Length: 0\r\n\r\n" + smuggled, true},
		{"the same length twice", post + length + length + "\r\n" + smuggled, false},
		{"a list of lengths", post + fmt.Sprintf("Content-Length: %d, %d\r\n\r\n", len(smuggled), len(smuggled)) + smuggled, true},
		{"a length with a sign", post + fmt.Sprintf("Content-Length: +%d\r\n\r\n", len(smuggled)) + smuggled, true},
		{"a negative length", post + "Content-Length: -1\r\n\r\n" + smuggled, true},
		{"a hexadecimal length", post + "Content-Length: 0x0\r\n\r\n" + smuggled, true},
		{"no length", post + "Content-Length:\r\n\r\n" + smuggled, true},
		{"another coding", post + length + "Transfer-Encoding: identity\r\n\r\n" + smuggled, true},
		{"an unknown coding", post + "Transfer-Encoding: xchunked\r\n\r\n" + none + smuggled, true},
		{"two codings", post + "Transfer-Encoding: chunked, identity\r\n\r\n" + none + smuggled, true},
		{"chunks in chunks", post + "Transfer-Encoding: chunked, chunked\r\n\r\n" + none + smuggled, true},
		{"two headers of codings", post + chunked + "Transfer-Encoding: identity\r\n\r\n" + none + smuggled, true},
		{"a coding with a control character", post + "Transfer-Encoding: \vchunked\r\n\r\n" + none + smuggled, true},
		{"space before a colon", post + "Transfer-Encoding : chunked\r\n\r\n" + none + smuggled, true},
		{"chunks in HTTP/1.0", strings.Replace(post, "1.1", "1.0", 1) + chunked + "\r\n" + none + smuggled, false},
		{"a folded length", post + fmt.Sprintf("Content-Length:\r\n %d\r\n\r\n", len(smuggled)) + smuggled, false},
		{"a folded coding", post + "Transfer-Encoding:\r\n chunked\r\n\r\n" + none + smuggled, false},
		{"a length folded into another header", post + length + "X-A: b\r\n Content-Length: 0\r\n\r\n" + smuggled, false},
		{"a folded first header", "POST /v2/app/blobs/uploads/ HTTP/1.1\r\n " + auth + length + "\r\n" + smuggled, true},
		{"bare line feeds", strings.ReplaceAll(post+length+"\r\n", "\r\n", "\n") + smuggled, false},
		{"bare carriage returns", post + length + "X-A: b\rContent-Length: 0\r\n\r\n" + smuggled, true},
		{"a NUL in a header", post + length + "X-A: b\x00c\r\n\r\n" + smuggled, true},
		{"a NUL in a header's name", post + length + "X\x00A: b\r\n\r\n" + smuggled, true},
		{"a header without a colon", post + length + "X-A\r\n\r\n" + smuggled, true},
		{"two hosts", post + length + "Host: y\r\n\r\n" + smuggled, true},
		{"no host", strings.Replace(post, "Host: x\r\n", "", 1) + length + "\r\n" + smuggled, true},
		{"a length in a trailer", post + chunked + "Trailer: Content-Length\r\n\r\n0\r\nContent-Length: 5\r\n\r\n" + smuggled, true},
		{"a chunk that ends in a line feed", post + chunked + "\r\n5\nhello\r\n" + none + smuggled, false},
		{"a line feed in a chunk's extension", post + chunked + "\r\n5;a\nb\r\nhello\r\n" + none + smuggled, false},
		{"a chunk of too many digits", post + chunked + "\r\n00000000000000000\r\n\r\n" + smuggled, false},
		{"a negative chunk", post + chunked + "\r\n-1\r\nhello\r\n" + none + smuggled, false},
		{"a chunk with a prefix", post + chunked + "\r\n0x0\r\n\r\n" + smuggled, false},
		{"a chunk that is longer than it says", post + chunked + "\r\n5\r\nhelloXX" + none + smuggled, false},
		{"an upgrade", post + length + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n" + smuggled, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			answers, actions := exchange(t, s, test.raw), asked(s)
			if slices.Contains(actions, "ecr:ListImages") || len(answers) > 1 {
				t.Fatalf("answers %v, actions %q: the request behind was carried out", answers, actions)
			}
			if test.refused && (len(actions) > 0 || len(answers) != 1 || answers[0] != 400 && answers[0] != 501) {
				t.Errorf("answers %v, actions %q, want a refusal", answers, actions)
			}
			if !test.refused && !slices.Equal(actions, []string{"ecr:InitiateLayerUpload"}) {
				t.Errorf("answers %v, actions %q, want the first request carried out", answers, actions)
			}
		})
	}
}

func TestHugeHeadersAreRefused(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	line := "X-A: " + strings.Repeat("a", 1000) + "\r\n"
	for name, raw := range map[string]string{
		"one header":       "GET /v2/ HTTP/1.1\r\nHost: x\r\nX-A: " + strings.Repeat("a", 200_000) + "\r\n\r\n",
		"many headers":     "GET /v2/ HTTP/1.1\r\nHost: x\r\n" + strings.Repeat(line, 200) + "\r\n",
		"a long path":      "GET /v2/" + strings.Repeat("a", 200_000) + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"a long query":     "GET /v2/?" + strings.Repeat("a", 200_000) + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"a long method":    strings.Repeat("A", 200_000) + " /v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"a long name":      "GET /v2/ HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A", 200_000) + ": b\r\n\r\n",
		"a folded header":  "GET /v2/ HTTP/1.1\r\nHost: x\r\nX-A: b\r\n" + strings.Repeat(" c\r\n", 50_000) + "\r\n",
		"a line forever":   strings.Repeat("\r\n", 100_000),
		"a long authority": "GET http://" + strings.Repeat("a", 200_000) + "/v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		if got := speak(t, s, raw, true); len(got) > 1 || len(got) == 1 && got[0] != 431 && got[0] != 400 {
			t.Errorf("%s = %v, want 431, 400 or the end", name, got)
		}
	}
	if d := s.Decisions(); len(d) > 0 {
		t.Errorf("decisions = %v, want none", d)
	}
}

// What is no HTTP gets no answer of the API, and no harm comes of it.
func TestConnectionsThatSpeakSomethingElse(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	for name, raw := range map[string]string{
		"nothing":           "",
		"a NUL":             "\x00",
		"TLS":               "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"HTTP/2":            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
		"HTTP/0.9":          "GET /v2/\r\n",
		"HTTP/3":            "GET /v2/ HTTP/3.0\r\nHost: x\r\n\r\n",
		"no version":        "GET /v2/ \r\nHost: x\r\n\r\n",
		"a bad version":     "GET /v2/ HTTP/1.9999999999\r\nHost: x\r\n\r\n",
		"spaces":            "GET  /v2/  HTTP/1.1\r\nHost: x\r\n\r\n",
		"a relative path":   "GET v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"an escape cut off": "GET /v2/%2 HTTP/1.1\r\nHost: x\r\n\r\n",
		"a bad host":        "GET /v2/ HTTP/1.1\r\nHost: a b\r\n\r\n",
		"a bad method":      "G@T /v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		if got := speak(t, s, raw, true); len(got) > 1 || len(got) == 1 && (got[0] < 400 || got[0] >= 500 && got[0] != 505) {
			t.Errorf("%s = %v, want a refusal or the end", name, got)
		}
	}
	for _, raw := range []string{"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "CONNECT app:443 HTTP/1.1\r\nHost: app:443\r\n\r\n"} {
		if got := speak(t, s, raw, true); len(got) != 1 || got[0] >= 500 {
			t.Errorf("%q = %v, want one answer", raw, got)
		}
	}
	if r := s.Login(t).Do(t, "GET", "/v2/", nil); r.Status != 200 {
		t.Errorf("GET /v2/ afterwards = %d", r.Status)
	}
}

// endless is a body that never ends and counts what is taken of it.
type endless struct{ read int64 }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.read += int64(len(p))
	return len(p), nil
}

func TestBodiesOfCallsAreLimited(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	for operation, most := range map[string]int64{"CreateRepository": 1 << 20, "PutImage": 16 << 20, "UploadLayerPart": 29 << 20, "Nonsense": 0, "StartImageScan": 0} {
		for _, length := range []int64{-1, 1 << 40} {
			body := &endless{}
			r := httptest.NewRequest("POST", "http://"+s.Host+"/", io.NopCloser(body))
			r.ContentLength = length
			r.Header.Set("Content-Type", "application/x-amz-json-1.1")
			r.Header.Set("X-Amz-Target", ecrTarget+operation)
			if err := sign(r, "ecr", nil); err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			s.Server().Handler().ServeHTTP(w, r)
			if status := w.Code; status != 413 && most > 0 || status >= 500 || status < 400 || body.read > most+1<<20 {
				t.Errorf("%s with an endless body = %d after %d bytes, want 413 after %d", operation, status, body.read, most)
			}
		}
	}
}

func TestDeepDocumentsAreRefused(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	const depth = 100_000
	for operation := range operations {
		for _, body := range []string{
			strings.Repeat("[", depth), strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth), `{"tags":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + "}",
		} {
			if status, text := call(t, s, operation, body); status != 400 {
				t.Errorf("%s of a deep document = %d %.200s, want 400", operation, status, text)
			}
		}
	}
}

// URIs that clients are told are made of configuration, not of the host that a
// request happens to be for.
func TestAnswersRepeatNoHost(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	c := s.Login(t)
	s.CreateRepository(t, "app")
	img := servertest.NewImage(1, 10)
	c.Push(t, "app", "v1", img)
	for operation, want := range map[string]string{
		"CreateRepository":       `"repositoryUri":"` + s.Host + `/new/`,
		"DescribeRepositories":   `"repositoryUri":"` + s.Host + `/app"`,
		"GetAuthorizationToken":  `"proxyEndpoint":"` + s.URL + `"`,
		"GetDownloadUrlForLayer": `"downloadUrl":"` + s.URL + `/_berth/`,
	} {
		for i, host := range []string{"", "evil.example", "evil.example:1", "123456789012.dkr.ecr.eu-west-1.localhost", "api.ecr.eu-west-1.amazonaws.com"} {
			body := strings.NewReplacer("ACCOUNT", servertest.Account, "NAME", fmt.Sprintf("app%d", i), "LAYER", digest.FromBytes(img.Layers[0]).String()).Replace(operations[operation].body)
			if operation != "CreateRepository" {
				body = strings.ReplaceAll(body, fmt.Sprintf("app%d", i), "app")
			}
			r := httptest.NewRequest("POST", "http://"+s.Host+"/", strings.NewReader(body))
			if r.Host = s.Host; host != "" {
				r.Host = host
			}
			r.Header.Set("Content-Type", "application/x-amz-json-1.1")
			r.Header.Set("X-Amz-Target", ecrTarget+operation)
			for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Server", "X-Original-Host", "Forwarded"} {
				r.Header.Set(name, "host=evil.example")
			}
			r.Header.Set("X-Forwarded-Proto", "https")
			if err := sign(r, "ecr", []byte(body)); err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			s.Server().Handler().ServeHTTP(w, r)
			if w.Code != 200 || !strings.Contains(strings.ReplaceAll(w.Body.String(), `\/`, "/"), want) || strings.Contains(w.Body.String(), "evil") {
				t.Errorf("%s with Host: %s = %d %s, want %s", operation, host, w.Code, w.Body, want)
			}
		}
	}
}
