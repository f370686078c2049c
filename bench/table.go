package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// table gathers the figures.
type table struct {
	markdown bool
	met      bool // all targets so far
	rows     [][]string
	notes    [][]string
	begun    bool
}

var header = []string{"workload", "server", "per second", "server CPU per operation", "rate / base", "CPU / base", "target", "met"}

func (t *table) add(w workload, servers []string, f map[string]figures) {
	t.begin()
	base := f[w.base]
	for _, name := range servers {
		v, ok := f[name]
		if !ok {
			continue
		}
		row := []string{w.name, name, fmt.Sprintf("%.4g", v.rate), duration(v.cpu), "", "", "", ""}
		if name != w.base {
			row[4], row[5] = fmt.Sprintf("%.2f", v.rate/base.rate), fmt.Sprintf("%.2f", v.cpu/base.cpu)
		}
		if name == cmp.Or(w.subject, berth) || w.all && name != w.base && name != peer {
			row[6], row[7] = t.judge(w.targets, v, base, f[alone])
		}
		t.rows = append(t.rows, row)
	}
}

func (t *table) begin() {
	if !t.begun {
		t.begun, t.met = true, true
	}
}

// judge holds figures against the targets.
func (t *table) judge(targets []target, v, base, cipher figures) (want, verdict string) {
	var texts []string
	ok := true
	for _, g := range targets {
		switch g.figure {
		case rate:
			texts = append(texts, fmt.Sprintf("rate >= %.2f", g.bound))
			ok = ok && v.rate/base.rate >= g.bound
		case overCipher:
			most := base.cpu + g.bound*cipher.cpu
			texts = append(texts, fmt.Sprintf("CPU <= base + %.2g ciphers = %s", g.bound, duration(most)))
			ok = ok && v.cpu <= most
		default:
			texts = append(texts, fmt.Sprintf("CPU <= %.2f", g.bound))
			ok = ok && v.cpu/base.cpu <= g.bound
		}
	}
	if len(targets) == 0 {
		return "", ""
	}
	return strings.Join(texts, ", "), t.verdict(ok)
}

func (t *table) verdict(ok bool) string {
	t.met = t.met && ok
	if ok {
		return "yes"
	}
	return "NO"
}

// note adds a figure that has no target.
func (t *table) note(name, value string) {
	t.begin()
	t.notes = append(t.notes, []string{name, value, "", ""})
}

// limit adds a figure that must not be greater than a bound.
func (t *table) limit(name string, value, bound float64, unit string) {
	t.begin()
	t.notes = append(t.notes, []string{
		name, fmt.Sprintf("%.3g %s", value, unit), fmt.Sprintf("<= %g %s", bound, unit), t.verdict(value <= bound),
	})
}

// least adds a figure that must not be less than a bound.
func (t *table) least(name string, value, bound float64, unit string) {
	t.begin()
	t.notes = append(t.notes, []string{
		name, fmt.Sprintf("%.3g %s", value, unit), fmt.Sprintf(">= %g %s", bound, unit), t.verdict(value >= bound),
	})
}

func duration(us float64) string {
	switch {
	case us >= 1e6:
		return fmt.Sprintf("%.3g s", us/1e6)
	case us >= 1e3:
		return fmt.Sprintf("%.3g ms", us/1e3)
	}
	return fmt.Sprintf("%.3g us", us)
}

func (t *table) print(w io.Writer) {
	t.write(w, header, t.rows)
	fmt.Fprintln(w)
	t.write(w, []string{"berth", "figure", "target", "met"}, t.notes)
}

func (t *table) write(w io.Writer, header []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	if t.markdown {
		fmt.Fprintf(w, "| %s |\n|%s\n", strings.Join(header, " | "), strings.Repeat("---|", len(header)))
		for _, r := range rows {
			fmt.Fprintf(w, "| %s |\n", strings.Join(r, " | "))
		}
		return
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, strings.Join(header, "\t"))
	for _, r := range rows {
		fmt.Fprintln(tw, strings.Join(r, "\t"))
	}
	_ = tw.Flush() // of standard output
}
