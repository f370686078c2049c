package internal

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// inSource calls visit for every node of the packages below the directories, tests
// and what only tests use aside.
func inSource(t *testing.T, visit func(path string, n ast.Node) (problem string), dirs ...string) {
	t.Helper()
	files, set := 0, token.NewFileSet()
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(filepath.Base(filepath.Dir(path)), "test") {
				return err
			}
			files++
			f, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if n == nil {
					return false
				}
				problem := visit(path, n)
				if problem != "" {
					t.Errorf("%s: %s", set.Position(n.Pos()), problem)
				}
				return problem == ""
			})
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if files == 0 {
		t.Error("no file was looked at")
	}
}

// secret is how what nobody may guess is called.
var secret = regexp.MustCompile(`(?i)(secret|password|passphrase|signature|nonce|verifier|privatekey|masterkey|token|hmac)s?$|^mac$|MAC$`)

// public are names that only sound like secrets: of an error, and of operations.
var public = map[string]bool{"MissingAuthenticationToken": true, "getSessionToken": true, "getFederationToken": true}

// nameOf returns the last name of an expression: of what a call returns, what an
// index selects or a conversion converts.
func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.CallExpr:
		if name := nameOf(e.Fun); name != "string" || len(e.Args) != 1 {
			return name
		}
		return nameOf(e.Args[0])
	case *ast.IndexExpr:
		return nameOf(e.X)
	case *ast.SliceExpr:
		return nameOf(e.X)
	case *ast.StarExpr:
		return nameOf(e.X)
	case *ast.ParenExpr:
		return nameOf(e.X)
	}
	return ""
}

// known reports whether an expression is something that everybody knows: a literal,
// nil, or a name of the language.
func known(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return true
	case *ast.Ident:
		return e.Name == "nil" || e.Name == "true" || e.Name == "false"
	}
	return false
}

// comparesSecrets says what is wrong with a comparison that takes the longer the
// more of a secret was guessed.
func comparesSecrets(_ string, n ast.Node) string {
	var x, y ast.Expr
	switch n := n.(type) {
	case *ast.BinaryExpr:
		if n.Op != token.EQL && n.Op != token.NEQ {
			return ""
		}
		x, y = n.X, n.Y
	case *ast.CallExpr:
		f, ok := n.Fun.(*ast.SelectorExpr)
		if !ok || len(n.Args) != 2 {
			return ""
		}
		pkg, ok := f.X.(*ast.Ident)
		if !ok || !strings.Contains(" bytes.Equal bytes.Compare strings.Compare strings.EqualFold slices.Equal reflect.DeepEqual ", " "+pkg.Name+"."+f.Sel.Name+" ") {
			return ""
		}
		x, y = n.Args[0], n.Args[1]
	default:
		return ""
	}
	if known(x) || known(y) {
		return ""
	}
	for _, e := range []ast.Expr{x, y} {
		if name := nameOf(e); secret.MatchString(name) && !public[name] {
			return name + " is compared in a time that tells: use hmac.Equal or package subtle"
		}
	}
	return ""
}

func TestSecretsAreComparedInConstantTime(t *testing.T) {
	inSource(t, comparesSecrets, ".", "../cmd")
	for text, wrong := range map[string]bool{
		`a.Secret == b`: true, `got != wantSignature`: true, `string(k.MAC(x)) == y`: true, `bytes.Equal(sum, password)`: true, `tokens[i] == given`: true,
		`strings.EqualFold(q.Get("x"), c.masterKey)`: true, `secret == ""`: false, `c.Password != nil`: false, `subtle.ConstantTimeCompare(secret, b) == 1`: false,
		`hmac.Equal(mac, k.MAC(x))`: false, `status == tagged`: false,
	} {
		if got := problemIn(t, text, comparesSecrets); (got != "") != wrong {
			t.Errorf("%s: %q, want a problem: %v", text, got, wrong)
		}
	}
}

// problemIn returns the first problem of an expression.
func problemIn(t *testing.T, text string, visit func(string, ast.Node) string) (problem string) {
	t.Helper()
	e, err := parser.ParseExpr(text)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(e, func(n ast.Node) bool {
		if n != nil && problem == "" {
			problem = visit("", n)
		}
		return true
	})
	return problem
}

// statement is the beginning or a part of a text in SQL.
var statement = regexp.MustCompile(`\b(SELECT [\w*]|INSERT INTO|UPDATE \w+ SET|DELETE FROM|WHERE |ORDER BY|LIMIT |VALUES ?\(|PRAGMA |FROM \w+( |$)|JOIN |DROP TABLE|ALTER TABLE|CREATE (TABLE|INDEX))| (AND|OR|IN|LIKE) (\(|$|[\w.]+ ?(=|<|>|IN))`)

// parts are what SQL is put together with that is not declared as a constant but
// never holds anything else, by file.
var parts = map[string]string{
	"image.go types":          "placeholders",
	"journal.go placeholders": "placeholders",
	"image.go tagCondition":   "one of three texts",
	"tag.go tagCondition":     "one of three texts",
	"sqlite.go level":         "FULL or NORMAL",
	"backup_rows.go name":     "of two tables",
	"backup_rows.go quote":    "quotes the name of a table of the schema",
	"backup_rows.go list":     "of columns of the schema",
	"backup_rows.go Repeat":   "placeholders",
	"deleted.go locks":        "of a map of texts",
	"gc.go locks":             "of a map of texts",
	"gc_deleted.go locks":     "of a map of texts",
	"layer.go locks":          "of a map of texts",
	"master.go locks":         "of a map of texts",
	"template.go t":           "the name of a table",
	"template.go condition":   "a parameter, see takes",
	"history.go condition":    "a parameter, see takes",
	"fsck.go condition":       "a parameter, see takes",
	"scrub.go locks":          "of a map of texts",
	"maintenance.go locks":    "of a map of texts",
}

// takes are functions with a parameter that becomes a part of SQL, and its place.
var takes = map[string]int{"read": 2, "pastImages": 1, "objectsWhere": 0}

// buildsSQL says what is wrong with SQL that holds more than constants. Whatever is
// not one is an argument.
func buildsSQL(path string, n ast.Node) string {
	switch n := n.(type) {
	case *ast.CallExpr:
		f, ok := n.Fun.(*ast.SelectorExpr)
		if !ok {
			return ""
		}
		if at, ok := takes[f.Sel.Name]; ok && filepath.Base(filepath.Dir(path)) == "metadata" && at < len(n.Args) && !constant(path, n.Args[at]) {
			return f.Sel.Name + " takes " + nameOf(n.Args[at])
		}
		pkg, _ := f.X.(*ast.Ident)
		if pkg == nil || pkg.Name != "fmt" && pkg.Name != "strings" || f.Sel.Name == "Errorf" {
			return ""
		}
		for _, a := range n.Args {
			if isSQL(a) {
				return "SQL goes through " + pkg.Name + "." + f.Sel.Name
			}
		}
	case *ast.BinaryExpr:
		if n.Op == token.ADD && holdsSQL(n) && !constant(path, n) {
			return "SQL is put together with what is no constant"
		}
	}
	return ""
}

func isSQL(e ast.Expr) bool {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return false
	}
	text, err := strconv.Unquote(l.Value)
	return err == nil && statement.MatchString(text)
}

// holdsSQL reports whether a part of a concatenation is SQL.
func holdsSQL(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BinaryExpr:
		return holdsSQL(e.X) || holdsSQL(e.Y)
	case *ast.ParenExpr:
		return holdsSQL(e.X)
	}
	return isSQL(e)
}

// constant reports whether an expression is put together of literals, constants,
// digits and the parts above.
func constant(path string, e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return true
	case *ast.ParenExpr:
		return constant(path, e.X)
	case *ast.BinaryExpr:
		return constant(path, e.X) && constant(path, e.Y)
	case *ast.CallExpr:
		if f, ok := e.Fun.(*ast.SelectorExpr); ok && nameOf(f.X) == "strconv" && f.Sel.Name == "Itoa" {
			return true
		}
	}
	name := nameOf(e)
	return declared[name] || parts[filepath.Base(path)+" "+name] != ""
}

// declared are the constants of package metadata.
var declared = map[string]bool{}

func TestSQLIsPutTogetherOfConstants(t *testing.T) {
	inSource(t, func(_ string, n ast.Node) string {
		if d, ok := n.(*ast.GenDecl); ok && d.Tok == token.CONST {
			for _, s := range d.Specs {
				for _, name := range s.(*ast.ValueSpec).Names {
					declared[name.Name] = true
				}
			}
		}
		return ""
	}, "metadata")
	inSource(t, buildsSQL, ".", "../cmd")
	for text, wrong := range map[string]bool{
		`fmt.Sprintf("SELECT a FROM t WHERE b = %s", c)`: true, "`SELECT a FROM t WHERE b = '` + name + `'`": true, "`SELECT a FROM t ORDER BY ` + in.Sort": true,
		`strings.Replace("DELETE FROM t WHERE x", "x", y, 1)`: true, "`SELECT a FROM t WHERE b IN (` + strings.Join(list, \",\") + `)`": true,
		"`SELECT a FROM t ` + `WHERE b = $1`": false, "`SELECT a FROM t LIMIT $` + strconv.Itoa(n)": false, `"the tag " + name`: false,
	} {
		if got := problemIn(t, text, buildsSQL); (got != "") != wrong {
			t.Errorf("%s: %q, want a problem: %v", text, got, wrong)
		}
	}
}

// Nobody can turn off the verification of certificates, because there is nothing
// to turn.
func TestCertificatesAreVerified(t *testing.T) {
	inSource(t, func(_ string, n ast.Node) string {
		if i, ok := n.(*ast.Ident); ok && i.Name == "InsecureSkipVerify" {
			return "certificates are to be verified"
		}
		return ""
	}, ".", "../cmd")
}

// builtIn is what gives access by itself: keys in AWS's form, and private keys.
var builtIn = regexp.MustCompile(`\b(AKIA|ASIA)[A-Z0-9]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY|(?i)\b(changeme|letmein|hunter2|admin123|password123)\b`)

// example is the key of AWS's documentation, which nobody has.
const example = "AKIAIOSFODNN7EXAMPLE"

// No secret comes with the program: what there is was made by its server or given to
// it.
func TestNoSecretIsBuiltIn(t *testing.T) {
	inSource(t, func(_ string, n ast.Node) string {
		l, ok := n.(*ast.BasicLit)
		if !ok || l.Kind != token.STRING {
			return ""
		}
		if found := builtIn.FindString(strings.ReplaceAll(l.Value, example, "")); found != "" {
			return found + " is built in"
		}
		return ""
	}, ".", "../cmd")
	for text, want := range map[string]bool{"AKIA0123456789ABCDEF": true, "-----BEGIN EC PRIVATE KEY-----": true, "AKIA": false, "-----BEGIN CERTIFICATE-----": false} {
		if builtIn.MatchString(text) != want {
			t.Errorf("%s: want it found: %v", text, want)
		}
	}
}
