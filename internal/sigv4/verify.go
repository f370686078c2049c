package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// UnsignedPayload is the payload hash of a request that does not sign its
// body. A caller accepts such requests by passing it to [Signature.Verify];
// otherwise they are refused.
const UnsignedPayload = "UNSIGNED-PAYLOAD"

// skew is how far the clocks of client and server may be apart.
const skew = 15 * time.Minute

// Verify returns nil if r was signed with secret and is valid at the time now,
// edges included: a request signed in its headers from 15 minutes before to 15
// minutes after its time, a presigned one until it expires. r is the request
// that s was parsed from, as net/http delivered it.
//
// payloadHash is the SHA-256 of the body in lower-case hex, computed by the
// caller from the bytes it will use, never taken from the request. An
// X-Amz-Content-Sha256 header or parameter must say the same, so payloads
// signed in chunks (STREAMING-…) are refused.
//
// A refusal is an [*Error]: [InvalidSignature], or [IncompleteSignature] if r
// has something that must be signed and is not. Any other error is a mistake
// of the caller. The signatures are compared in constant time.
func (s *Signature) Verify(r *http.Request, secret, payloadHash string, now time.Time) error {
	if !isPayloadHash(payloadHash) || secret == "" {
		return fmt.Errorf("verify signature: payload hash %q is not one, or no secret", payloadHash)
	}
	if err := s.checkTime(now); err != nil {
		return err
	}
	if err := s.checkHeaders(r.Header); err != nil {
		return err
	}
	query, err := parseQuery(r.URL)
	if err != nil {
		return err
	}
	if err := checkPayload(r.Header, query, payloadHash); err != nil {
		return err
	}
	canonical, err := s.canonicalRequest(r, query, payloadHash)
	if err != nil {
		return err
	}
	key := SigningKey(secret, s.Date, s.Region, s.Service)
	want := hex.EncodeToString(sum(key, s.stringToSign(canonical)))
	if !hmac.Equal([]byte(want), []byte(s.value)) {
		return mismatch()
	}
	return nil
}

// SigningKey returns the key that signs requests of one day (YYYYMMDD), region
// and service, as in "Derive a signing key" of the IAM User Guide.
func SigningKey(secret, date, region, service string) []byte {
	key := []byte("AWS4" + secret)
	for _, data := range []string{date, region, service, terminator} {
		key = sum(key, data)
	}
	return key
}

func sum(key []byte, data string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(data))
	return h.Sum(nil)
}

func (s *Signature) checkTime(now time.Time) error {
	now = now.UTC()
	if latest := now.Add(skew); s.Time.After(latest) {
		return invalid("Signature not yet current: %s is still later than %s (%s + 15 min.)",
			s.Time.Format(timeFormat), latest.Format(timeFormat), now.Format(timeFormat))
	}
	life, words := skew, "15 min."
	if s.Presigned {
		life, words = s.Expires, fmt.Sprintf("%d sec.", s.Expires/time.Second)
	}
	if earliest := now.Add(-life); s.Time.Before(earliest) {
		return invalid("Signature expired: %s is now earlier than %s (%s - %s)",
			s.Time.Format(timeFormat), earliest.Format(timeFormat), now.Format(timeFormat), words)
	}
	return nil
}

// checkHeaders refuses X-Amz-* headers that are not signed. It also refuses
// repeated ones: their canonical form is that of one header with commas, while
// a handler reads the first only.
func (s *Signature) checkHeaders(h http.Header) error {
	var unsigned []string
	for key, values := range h {
		name := strings.ToLower(key)
		if !isAmz(name) {
			continue
		}
		if len(values) > 1 {
			return incomplete("The request has an X-Amz-* header more than once.")
		}
		if _, ok := slices.BinarySearch(s.SignedHeaders, name); !ok {
			unsigned = append(unsigned, name)
		}
	}
	if len(unsigned) == 0 {
		return nil
	}
	slices.Sort(unsigned)
	return incomplete("The request signature does not conform to AWS standards. Header(s) not signed: %s.",
		strings.Join(unsigned, ", "))
}

// checkPayload compares what the request says about its payload, in whichever
// place, with what the caller found.
func checkPayload(h http.Header, query url.Values, payloadHash string) error {
	said := slices.Clone(h.Values("X-Amz-Content-Sha256"))
	for key, values := range query {
		if strings.EqualFold(key, "X-Amz-Content-Sha256") {
			said = append(said, values...)
		}
	}
	for _, hash := range said {
		if hash != payloadHash {
			return invalid("The provided 'x-amz-content-sha256' header does not match what was computed.")
		}
	}
	return nil
}

func isPayloadHash(s string) bool {
	b, err := hex.DecodeString(s)
	return s == UnsignedPayload || err == nil && len(b) == sha256.Size && s == strings.ToLower(s)
}
