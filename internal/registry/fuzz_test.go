package registry

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"berth/internal/fault"
)

// FuzzParseManifest feeds documents to ParseManifest. One that is accepted means
// the same to a decoder that minds the case of members and to one that does not,
// to one that takes the first of two members and to one that takes the last, and
// is accepted again as what it was found to be.
func FuzzParseManifest(f *testing.F) {
	const d = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	descriptor := `{"mediaType":"a/b","digest":"` + d + `","size":0}`
	for _, seed := range [][2]string{
		{typeOCIManifest, `{"schemaVersion":2,"mediaType":"` + typeOCIManifest + `","config":` + descriptor + `,"layers":[` + descriptor + `]}`},
		{typeOCIManifest, `{"schemaVersion":2,"artifactType":"a/b","config":` + descriptor + `,"layers":[],"subject":` + descriptor + `,"annotations":{"a":"b"}}`},
		{typeOCIIndex, `{"schemaVersion":2,"manifests":[{"mediaType":"` + typeOCIManifest + `","digest":"` + d + `","size":1,"platform":{"os":"linux"}}]}`},
		{"", `{"schemaVersion":2,"mediaType":"` + typeDockerManifest + `","config":` + descriptor + `,"layers":[{"digest":"` + d + `","urls":["x"]}]}`},
		{typeDockerList + "; charset=utf-8", `{"schemaVersion":2,"manifests":[]}`},
		{typeOCIArtifact, `{"artifactType":"a/b","blobs":[` + descriptor + `]}`},
		{typeOCIManifest, `{"schemaVersion":2,"config":` + descriptor + `,"layers":[],"Layers":[` + descriptor + `]}`},
		{typeOCIManifest, `{"schemaVersion":2,"config":` + descriptor + `,"layers":[],"layer\u017f":[]}`},
		{typeOCIManifest, `{"schemaVersion":2,"config":{"digest":"` + d + `","Digest":""},"layers":null}`},
		{typeOCIIndex, `{"schemaVersion":2,"manifests":[],"layers":[],"manifests":[]}`},
		{typeOCIManifest, strings.Repeat(`{"config":`, 40)},
		{"text/plain", `[]`}, {"/", `{}{}`}, {typeOCIManifest, "\xff"}, {"", ``},
	} {
		f.Add([]byte(seed[1]), seed[0])
	}
	f.Fuzz(func(t *testing.T, data []byte, contentType string) {
		m, err := ParseManifest(data, contentType)
		if err != nil {
			if k := fault.KindOf(err); k != fault.Invalid && k != fault.TooLarge {
				t.Errorf("ParseManifest = %v, want a refusal", err)
			}
			return
		}
		again, err := ParseManifest(data, m.MediaType)
		if err != nil || !reflect.DeepEqual(m, again) {
			t.Errorf("as %s: ParseManifest = %+v, %v, want %+v", m.MediaType, again, err, m)
		}
		if manifestShapes[m.MediaType] == 0 {
			t.Errorf("the media type %q is accepted", m.MediaType)
		}
		for _, l := range append(m.Layers(), m.Manifests...) {
			if !ValidDigest(string(l.Digest)) || l.Size < 0 {
				t.Errorf("the descriptor %+v is accepted", l)
			}
		}
		checkReadings(t, data, reflect.TypeFor[manifestDocument]())
	})
}

// checkReadings compares what Go's decoder makes of an object, which does not
// mind case and takes the last of two, with the members of exactly the names
// that are meant, the first of two.
func checkReadings(t *testing.T, data []byte, as reflect.Type) {
	t.Helper()
	loose := reflect.New(as)
	if err := json.Unmarshal(data, loose.Interface()); err != nil {
		t.Fatalf("an accepted document: %v", err)
	}
	exact := firstMembers(t, data)
	for i := range as.NumField() {
		name, _, _ := strings.Cut(as.Field(i).Tag.Get("json"), ",")
		want := reflect.New(as.Field(i).Type)
		if text, ok := exact[name]; ok {
			if err := json.Unmarshal(text, want.Interface()); err != nil {
				t.Fatalf("the member %s of an accepted document: %v", name, err)
			}
			checkDescriptorReadings(t, text, as.Field(i).Type)
		}
		if got := loose.Elem().Field(i); !reflect.DeepEqual(got.Interface(), want.Elem().Interface()) {
			t.Errorf("the member %s is %v to one decoder, %v to another: %s", name, got, want.Elem(), data)
		}
	}
}

// checkDescriptorReadings is checkReadings for a member that is a descriptor, or
// a list of them.
func checkDescriptorReadings(t *testing.T, text []byte, as reflect.Type) {
	t.Helper()
	descriptor := reflect.TypeFor[Descriptor]()
	switch {
	case bytes.Equal(text, []byte("null")):
	case as == reflect.PointerTo(descriptor):
		checkReadings(t, text, descriptor)
	case as == reflect.SliceOf(descriptor):
		var all []json.RawMessage
		if err := json.Unmarshal(text, &all); err != nil {
			t.Fatal(err)
		}
		for _, one := range all {
			if !bytes.Equal(one, []byte("null")) {
				checkReadings(t, one, descriptor)
			}
		}
	}
}

// firstMembers returns the members of an object, of two with one name the first.
func firstMembers(t *testing.T, data []byte) map[string]json.RawMessage {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	if _, err := dec.Token(); err != nil {
		t.Fatal(err)
	}
	all := map[string]json.RawMessage{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			t.Fatal(err)
		}
		var text json.RawMessage
		if err := dec.Decode(&text); err != nil {
			t.Fatal(err)
		}
		if _, twice := all[name.(string)]; !twice {
			all[name.(string)] = text
		}
	}
	return all
}
