package ecrpublic_test

import (
	"bytes"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"net/http"
	"strings"
	"testing"

	"berth/internal/servertest"

	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic/types"
)

func putCatalog(s *servertest.Server, t *testing.T, in *types.RepositoryCatalogDataInput) (*types.RepositoryCatalogData, error) {
	t.Helper()
	out, err := s.ECRPublic().PutRepositoryCatalogData(t.Context(), &ecrpublic.PutRepositoryCatalogDataInput{RepositoryName: new("app"), CatalogData: in})
	if err != nil {
		return nil, err
	}
	return out.CatalogData, nil
}

func getCatalog(t *testing.T, s *servertest.Server) *types.RepositoryCatalogData {
	t.Helper()
	return must(s.ECRPublic().GetRepositoryCatalogData(t.Context(), &ecrpublic.GetRepositoryCatalogDataInput{RepositoryName: new("app")}))(t).CatalogData
}

func TestCatalogDataIsReplacedAsAWhole(t *testing.T) {
	t.Parallel()
	said := &types.RepositoryCatalogDataInput{
		Description: new("a description\nof two lines"), Architectures: []string{"ARM 64", "x86-64", "abacus"}, OperatingSystems: []string{"Linux", "Windows"},
		AboutText: new("# About\r\n\té \u2028 \U0001F600 <script>"), UsageText: new(strings.Repeat("é", 25_600)),
	}
	want := &types.RepositoryCatalogData{
		Description: said.Description, Architectures: said.Architectures, OperatingSystems: said.OperatingSystems,
		AboutText: said.AboutText, UsageText: said.UsageText,
	}
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECRPublic()
		out := must(c.CreateRepository(t.Context(), &ecrpublic.CreateRepositoryInput{RepositoryName: new("app"), CatalogData: said}))(t)
		wantEqual(t, "CreateRepository", out.CatalogData, want)
		wantEqual(t, "GetRepositoryCatalogData", getCatalog(t, s), want)
		s.Restart(t)
		wantEqual(t, "after a restart", getCatalog(t, s), want)

		less := &types.RepositoryCatalogDataInput{Description: new("less"), Architectures: []string{}, AboutText: new("")}
		want := &types.RepositoryCatalogData{Description: new("less")}
		wantEqual(t, "PutRepositoryCatalogData", must(putCatalog(s, t, less))(t), want)
		wantEqual(t, "with less", getCatalog(t, s), want)
		must(putCatalog(s, t, &types.RepositoryCatalogDataInput{}))(t)
		wantEqual(t, "with nothing", getCatalog(t, s), &types.RepositoryCatalogData{})

		// A new repository of the same name says nothing of itself.
		must(putCatalog(s, t, said))(t)
		must(c.DeleteRepository(t.Context(), &ecrpublic.DeleteRepositoryInput{RepositoryName: new("app")}))(t)
		_, err := c.GetRepositoryCatalogData(t.Context(), &ecrpublic.GetRepositoryCatalogDataInput{RepositoryName: new("app")})
		wantError(t, err, "RepositoryNotFoundException", "The repository with name 'app' does not exist in the registry with id '123456789012'")
		create(t, s, "app")
		_, err = c.GetRepositoryCatalogData(t.Context(), &ecrpublic.GetRepositoryCatalogDataInput{RepositoryName: new("app")})
		wantError(t, err, "RepositoryCatalogDataNotFoundException", "Catalog data does not exist for the repository with name 'app' in the registry with id '123456789012'")
	})
}

func TestCatalogDataIsRefused(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECRPublic()
		create(t, s, "app")
		must(putCatalog(s, t, &types.RepositoryCatalogDataInput{Description: new("as it was")}))(t)
		many := strings.Split(strings.Repeat("x,", 50)+"x", ",")
		const at = "Invalid parameter at '"
		for name, tt := range map[string]struct {
			in      types.RepositoryCatalogDataInput
			message string
		}{
			"a long description":     {types.RepositoryCatalogDataInput{Description: new(strings.Repeat("é", 1025))}, at + "catalogData.description' failed to satisfy constraint: 'Member must have length less than or equal to 1024'"},
			"a long about text":      {types.RepositoryCatalogDataInput{AboutText: new(strings.Repeat("é", 25_601))}, at + "catalogData.aboutText' failed to satisfy constraint: 'Member must have length less than or equal to 25600'"},
			"a long usage text":      {types.RepositoryCatalogDataInput{UsageText: new(strings.Repeat("é", 25_601))}, at + "catalogData.usageText' failed to satisfy constraint: 'Member must have length less than or equal to 25600'"},
			"a NUL":                  {types.RepositoryCatalogDataInput{Description: new("a\x00b")}, at + "description' failed to satisfy constraint: 'the text has control characters'"},
			"an escape":              {types.RepositoryCatalogDataInput{UsageText: new("\x1b[2J")}, at + "usageText' failed to satisfy constraint: 'the text has control characters'"},
			"51 architectures":       {types.RepositoryCatalogDataInput{Architectures: many}, at + "catalogData.architectures' failed to satisfy constraint: 'Member must have length less than or equal to 50'"},
			"51 systems":             {types.RepositoryCatalogDataInput{OperatingSystems: many}, at + "catalogData.operatingSystems' failed to satisfy constraint: 'Member must have length less than or equal to 50'"},
			"an architecture of 51":  {types.RepositoryCatalogDataInput{Architectures: []string{strings.Repeat("x", 51)}}, at + "catalogData.architectures.1.member' failed to satisfy constraint: 'Member must have length less than or equal to 50'"},
			"an empty architecture":  {types.RepositoryCatalogDataInput{Architectures: []string{""}}, at + "catalogData.architectures.1.member' failed to satisfy constraint: 'Member must have length greater than or equal to 1'"},
			"a system of two lines":  {types.RepositoryCatalogDataInput{OperatingSystems: []string{"a\nb"}}, at + "operatingSystems' failed to satisfy constraint: 'an item has 1 to 50 characters, none of them control characters'"},
			"a logo of 512,001":      {types.RepositoryCatalogDataInput{LogoImageBlob: append([]byte("GIF89a"), make([]byte, 511_995)...)}, at + "catalogData.logoImageBlob' failed to satisfy constraint: 'Member must have length less than or equal to 512000'"},
			"a logo that is a SVG":   {types.RepositoryCatalogDataInput{LogoImageBlob: []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`)}, noLogo},
			"a logo that is a page":  {types.RepositoryCatalogDataInput{LogoImageBlob: []byte(`<!doctype html><script>alert(1)</script>`)}, noLogo},
			"a page, then a picture": {types.RepositoryCatalogDataInput{LogoImageBlob: []byte("<html>\x89PNG\r\n\x1a\n")}, noLogo},
			"a sound":                {types.RepositoryCatalogDataInput{LogoImageBlob: []byte("RIFF\x00\x00\x00\x00WAVEfmt ")}, noLogo},
			"a bitmap":               {types.RepositoryCatalogDataInput{LogoImageBlob: []byte("BM\x00\x00")}, noLogo},
			"half of a signature":    {types.RepositoryCatalogDataInput{LogoImageBlob: []byte("\x89PNG")}, noLogo},
		} {
			t.Run(name, func(t *testing.T) {
				_, err := putCatalog(s, t, &tt.in)
				wantError(t, err, "InvalidParameterException", tt.message)
				_, err = c.CreateRepository(t.Context(), &ecrpublic.CreateRepositoryInput{RepositoryName: new("new"), CatalogData: &tt.in})
				wantError(t, err, "InvalidParameterException", tt.message)
			})
		}
		wantEqual(t, "afterwards", getCatalog(t, s), &types.RepositoryCatalogData{Description: new("as it was")})
		wantEqual(t, "repositories", repositoryNames(t, s, 0), []string{"app"})
		in := &ecrpublic.PutRepositoryCatalogDataInput{RepositoryName: new("absent"), CatalogData: &types.RepositoryCatalogDataInput{}}
		_, err := c.PutRepositoryCatalogData(t.Context(), in)
		wantError(t, err, "RepositoryNotFoundException", noRepository)
		in.RegistryId = new(stranger)
		_, err = c.PutRepositoryCatalogData(t.Context(), in)
		wantDenied(t, err, "PutRepositoryCatalogData", "arn:aws:ecr-public::210987654321:repository/absent")
		_, err = c.GetRepositoryCatalogData(t.Context(), &ecrpublic.GetRepositoryCatalogDataInput{RepositoryName: new("absent")})
		wantError(t, err, "RepositoryNotFoundException", noRepository)
		_, err = c.GetRepositoryCatalogData(t.Context(), &ecrpublic.GetRepositoryCatalogDataInput{RepositoryName: new("app"), RegistryId: new(stranger)})
		wantDenied(t, err, "GetRepositoryCatalogData", "arn:aws:ecr-public::210987654321:repository/app")
	})
}

const noLogo = "Invalid parameter at 'logoImageBlob' failed to satisfy constraint: 'a logo is a PNG, JPEG, GIF or WebP image'"

// logos returns a picture in each format, by media type.
func logos(t *testing.T) map[string][]byte {
	t.Helper()
	picture := image.NewPaletted(image.Rect(0, 0, 4, 4), color.Palette{color.Black, color.White})
	out := map[string][]byte{"image/webp": []byte("RIFF\x0e\x00\x00\x00WEBPVP8 \x02\x00\x00\x00xx")}
	for mediaType, encode := range map[string]func(io.Writer) error{
		"image/png":  func(w io.Writer) error { return png.Encode(w, picture) },
		"image/gif":  func(w io.Writer) error { return gif.Encode(w, picture, nil) },
		"image/jpeg": func(w io.Writer) error { return jpeg.Encode(w, picture, nil) },
	} {
		var b bytes.Buffer
		if err := encode(&b); err != nil {
			t.Fatal(err)
		}
		out[mediaType] = b.Bytes()
	}
	return out
}

// fetch gets a URL of the public host from the server.
func fetch(t *testing.T, s *servertest.Server, method, url string, header ...string) *servertest.Response {
	t.Helper()
	c := &servertest.Client{Server: s, Host: s.PublicHost(), HTTP: http.DefaultClient}
	path, ok := strings.CutPrefix(url, "http://"+s.PublicHost())
	if !ok {
		t.Fatalf("%s is not at the public host", url)
	}
	return c.Do(t, method, path, nil, header...)
}

func TestLogosAreServedAsPicturesAndNothingElse(t *testing.T) {
	t.Parallel()
	pictures := logos(t)
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		create(t, s, "app")
		old := ""
		for mediaType, picture := range pictures {
			put := must(putCatalog(s, t, &types.RepositoryCatalogDataInput{LogoImageBlob: picture}))(t)
			wantEqual(t, "GetRepositoryCatalogData", getCatalog(t, s), put)
			r := fetch(t, s, "GET", *put.LogoUrl).Want(t, 200)
			if !bytes.Equal(r.Body, picture) {
				t.Errorf("the %s was changed", mediaType)
			}
			for name, want := range map[string]string{
				"Content-Type": mediaType, "X-Content-Type-Options": "nosniff",
				"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
			} {
				if got := r.Header.Get(name); got != want {
					t.Errorf("%s = %q, want %q", name, got, want)
				}
			}
			if head := fetch(t, s, "HEAD", *put.LogoUrl).Want(t, 200); len(head.Body) != 0 || head.Header.Get("Content-Type") != mediaType {
				t.Errorf("HEAD of the %s = %v", mediaType, head)
			}
			fetch(t, s, "GET", *put.LogoUrl, "If-None-Match", r.Header.Get("ETag")).Want(t, 304)
			fetch(t, s, "POST", *put.LogoUrl).Want(t, 405)
			if old != "" {
				fetch(t, s, "GET", old).Want(t, 404) // another picture, another URL
			}
			old = *put.LogoUrl
		}
		s.Restart(t)
		fetch(t, s, "GET", old).Want(t, 200)
		for _, other := range []string{old + "x", old[:len(old)-1], strings.Replace(old, "sha256:", "sha512:", 1), strings.Replace(old, "logo/", "logo/x", 1), old + "/x"} {
			fetch(t, s, "GET", other).Want(t, 404)
		}
		must(putCatalog(s, t, &types.RepositoryCatalogDataInput{Description: new("no logo")}))(t)
		fetch(t, s, "GET", old).Want(t, 404)
		put := must(putCatalog(s, t, &types.RepositoryCatalogDataInput{LogoImageBlob: pictures["image/png"]}))(t)
		must(s.ECRPublic().DeleteRepository(t.Context(), &ecrpublic.DeleteRepositoryInput{RepositoryName: new("app")}))(t)
		fetch(t, s, "GET", *put.LogoUrl).Want(t, 404)
	})
}

func TestTheRegistryHasADisplayName(t *testing.T) {
	t.Parallel()
	servertest.Each(t, servertest.Options{}, func(t *testing.T, s *servertest.Server) {
		c := s.ECRPublic()
		read := func() *types.RegistryCatalogData {
			return must(c.GetRegistryCatalogData(t.Context(), &ecrpublic.GetRegistryCatalogDataInput{}))(t).RegistryCatalogData
		}
		wantEqual(t, "at first", read(), &types.RegistryCatalogData{})
		for _, name := range []string{"Berth", strings.Repeat("é", 100), ""} {
			want := &types.RegistryCatalogData{DisplayName: &name}
			if name == "" {
				want.DisplayName = nil
			}
			out := must(c.PutRegistryCatalogData(t.Context(), &ecrpublic.PutRegistryCatalogDataInput{DisplayName: &name}))(t)
			wantEqual(t, "PutRegistryCatalogData", out.RegistryCatalogData, want)
			wantEqual(t, "GetRegistryCatalogData", read(), want)
		}
		must(c.PutRegistryCatalogData(t.Context(), &ecrpublic.PutRegistryCatalogDataInput{DisplayName: new("kept")}))(t)
		_, err := c.PutRegistryCatalogData(t.Context(), &ecrpublic.PutRegistryCatalogDataInput{DisplayName: new(strings.Repeat("x", 101))})
		wantError(t, err, "InvalidParameterException", "Invalid parameter at 'displayName' failed to satisfy constraint: 'Member must have length less than or equal to 100'")
		_, err = c.PutRegistryCatalogData(t.Context(), &ecrpublic.PutRegistryCatalogDataInput{DisplayName: new("a\x00b")})
		wantError(t, err, "InvalidParameterException", "Invalid parameter at 'displayName' failed to satisfy constraint: 'a name has at most 100 characters, none of them control characters'")
		s.Restart(t)
		wantEqual(t, "after a restart", read(), &types.RegistryCatalogData{DisplayName: new("kept")})
	})
}
