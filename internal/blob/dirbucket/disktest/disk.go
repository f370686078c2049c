// Package disktest has disks for tests of what is kept in a directory: one in memory
// that can lose its power at any moment, and one whose operations fail.
package disktest

import (
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"berth/internal/blob/dirbucket"
)

// Disk is a file system in memory that tells what is durable from what is only
// written. It promises the least that a disk may: the bytes of a file are durable
// when the file was synced, an entry of a directory when the directory was, and of
// what was not synced any part may be lost, whatever came before or after it. Only a
// rename is done whole or not at all, as in every file system with a journal.
type Disk struct {
	// After, if not nil, is called after each operation that changes something.
	After func()
	// Forgetful makes Sync and SyncDir do nothing.
	Forgetful bool

	mu   sync.Mutex
	root *node // and all beneath guarded by mu
}

var _ dirbucket.Files = (*Disk)(nil)

// node is a file or a directory.
type node struct {
	content, synced []byte // of a file; never changed in place
	edits           []edit // since synced

	dir           bool
	entries, kept map[string]*node // of a directory
	changes       []change         // since kept
}

// edit is a change of a file: it is cut to a size, or bytes are written.
type edit struct {
	at   int64
	data []byte // nil to cut
}

// change is a change of a directory: a name is given to a node, or taken away. Those of
// one rename belong together.
type change struct {
	name string
	node *node
	of   *rename // nil for none
}

// rename is durable when one of its directories was synced.
type rename struct{ durable bool }

func newDir() *node { return &node{dir: true} }

// NewDisk returns an empty disk.
func NewDisk() *Disk { return &Disk{root: newDir()} }

// sector is what a disk writes whole or not at all.
const sector = 512

// apply returns content after an edit, of which the sectors are done that keep says.
func (e edit) apply(content []byte, keep func() bool) []byte {
	if e.data == nil {
		content = slices.Clone(content[:min(int64(len(content)), e.at)])
		return append(content, make([]byte, e.at-int64(len(content)))...)
	}
	end := e.at + int64(len(e.data))
	next := make([]byte, max(end, int64(len(content))))
	copy(next, content)
	for from := e.at; from < end; {
		to := min(end, (from/sector+1)*sector)
		if keep() {
			copy(next[from:to], e.data[from-e.at:to-e.at])
		}
		from = to
	}
	return next
}

func all() bool { return true }

func (n *node) edit(e edit) {
	n.content = e.apply(n.content, all)
	n.edits = append(n.edits, e)
}

func (n *node) set(name string, to *node, of *rename) {
	n.entries = put(n.entries, name, to)
	n.changes = append(n.changes, change{name, to, of})
}

// put gives a name to a node, or takes it away, in what may be nil.
func put(entries map[string]*node, name string, n *node) map[string]*node {
	if n == nil {
		delete(entries, name)
		return entries
	}
	if entries == nil {
		entries = map[string]*node{}
	}
	entries[name] = n
	return entries
}

// Crash returns the disk as it could be found if the power went now. Of what was not
// synced each change is there with the probability p, some writes in a part of their
// sectors: with 0 nothing, with 1 everything.
func (d *Disk) Crash(r *rand.Rand, p float64) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := crash{keep: func() bool { return r.Float64() < p }, done: map[*node]*node{}, renamed: map[*rename]bool{}}
	return &Disk{root: c.found(d.root)}
}

// crash is what is decided about one.
type crash struct {
	keep    func() bool
	done    map[*node]*node
	renamed map[*rename]bool
}

// keeps decides about a change of a directory.
func (c *crash) keeps(of *rename) bool {
	if of == nil {
		return c.keep()
	}
	kept, decided := c.renamed[of]
	if !decided {
		kept = of.durable || c.keep()
		c.renamed[of] = kept
	}
	return kept
}

// found returns what is found of a node.
func (c *crash) found(n *node) *node {
	if f := c.done[n]; f != nil {
		return f
	}
	f := &node{dir: n.dir}
	c.done[n] = f
	if !n.dir {
		f.content = c.content(n)
		f.synced = f.content
		return f
	}
	entries := maps.Clone(n.kept)
	for _, change := range n.changes {
		if c.keeps(change.of) {
			entries = put(entries, change.name, change.node)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		f.entries = put(f.entries, name, c.found(entries[name]))
	}
	f.kept = maps.Clone(f.entries)
	return f
}

func (c *crash) content(n *node) []byte {
	content := n.synced
	for _, e := range n.edits {
		if !c.keep() {
			continue
		}
		sectors := all
		if c.keep() != c.keep() {
			sectors = c.keep
		}
		content = e.apply(content, sectors)
	}
	return content
}

// Bytes returns the bytes of a file, nil if there is none. They must not be changed.
func (d *Disk) Bytes(name string) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.find(name)
	if n == nil || n.dir {
		return nil
	}
	return n.content
}

// find returns what a path leads to, nil if it leads nowhere.
func (d *Disk) find(name string) *node {
	n := d.root
	if name == "." {
		return n
	}
	for part := range strings.SplitSeq(name, "/") {
		if n = n.entries[part]; n == nil { // of a file there is none
			return nil
		}
	}
	return n
}

// dir returns the directory that a path's last name is in.
func (d *Disk) dir(op, name string) (*node, string, error) {
	n := d.find(path.Dir(name))
	if n == nil || !n.dir {
		return nil, "", &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return n, path.Base(name), nil
}

// change does something, and then tells.
func (d *Disk) change(do func() error) error {
	d.mu.Lock()
	err := do()
	d.mu.Unlock()
	if err == nil && d.After != nil {
		d.After()
	}
	return err
}

// Mkdir implements [dirbucket.Files].
func (d *Disk) Mkdir(name string) error {
	return d.change(func() error {
		in, base, err := d.dir("mkdir", name)
		if err != nil {
			return err
		}
		if in.entries[base] != nil {
			return &fs.PathError{Op: "mkdir", Path: name, Err: fs.ErrExist}
		}
		in.set(base, newDir(), nil)
		return nil
	})
}

// OpenFile implements [dirbucket.Files].
func (d *Disk) OpenFile(name string, flag int) (dirbucket.File, error) {
	d.mu.Lock()
	in, base, err := d.dir("open", name)
	if err != nil {
		d.mu.Unlock()
		return nil, err
	}
	n := in.entries[base]
	made := n == nil && flag&os.O_CREATE != 0
	if made {
		n = &node{}
		in.set(base, n, nil)
	}
	d.mu.Unlock()
	if n == nil || n.dir {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if made && d.After != nil {
		d.After()
	}
	return &file{disk: d, node: n}, nil
}

// Rename implements [dirbucket.Files].
func (d *Disk) Rename(from, to string) error {
	return d.change(func() error {
		in, base, err := d.dir("rename", from)
		if err != nil {
			return err
		}
		into, as, err := d.dir("rename", to)
		if err != nil {
			return err
		}
		n := in.entries[base]
		if n == nil {
			return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
		}
		of := new(rename)
		into.set(as, n, of)
		in.set(base, nil, of)
		return nil
	})
}

// Remove implements [dirbucket.Files].
func (d *Disk) Remove(name string) error {
	return d.change(func() error {
		in, base, err := d.dir("remove", name)
		if err != nil {
			return err
		}
		if in.entries[base] == nil {
			return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
		}
		in.set(base, nil, nil)
		return nil
	})
}

// SyncDir implements [dirbucket.Files].
func (d *Disk) SyncDir(name string) error {
	return d.change(func() error {
		n := d.find(name)
		if n == nil || !n.dir {
			return &fs.PathError{Op: "sync", Path: name, Err: fs.ErrNotExist}
		}
		if d.Forgetful {
			return nil
		}
		for _, c := range n.changes {
			if c.of != nil {
				c.of.durable = true
			}
		}
		n.kept, n.changes = maps.Clone(n.entries), nil
		return nil
	})
}

// Stat implements [dirbucket.Files].
func (d *Disk) Stat(name string) (fs.FileInfo, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.find(name)
	if n == nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return info{path.Base(name), int64(len(n.content)), n.dir}, nil
}

// ReadDir implements [dirbucket.Files].
func (d *Disk) ReadDir(name string) ([]fs.DirEntry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.find(name)
	if n == nil || !n.dir {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	var list []fs.DirEntry
	for _, name := range slices.Sorted(maps.Keys(n.entries)) {
		e := n.entries[name]
		list = append(list, fs.FileInfoToDirEntry(info{name, int64(len(e.content)), e.dir}))
	}
	return list, nil
}

// Close implements [dirbucket.Files].
func (d *Disk) Close() error { return nil }

// file is a file, open.
type file struct {
	disk *Disk
	node *node
	at   int64
}

func (f *file) Read(p []byte) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.at >= int64(len(f.node.content)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.content[f.at:])
	f.at += int64(n)
	return n, nil
}

func (f *file) Write(p []byte) (int, error) {
	err := f.disk.change(func() error {
		f.node.edit(edit{f.at, append([]byte{}, p...)})
		f.at += int64(len(p))
		return nil
	})
	return len(p), err
}

func (f *file) Seek(offset int64, whence int) (int64, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += f.at
	case io.SeekEnd:
		offset += int64(len(f.node.content))
	}
	f.at = offset
	return f.at, nil
}

func (f *file) Truncate(size int64) error {
	return f.disk.change(func() error {
		f.node.edit(edit{at: size})
		return nil
	})
}

func (f *file) Sync() error {
	return f.disk.change(func() error {
		if !f.disk.Forgetful {
			f.node.synced, f.node.edits = f.node.content, nil
		}
		return nil
	})
}

func (f *file) Close() error { return nil }

// info is a [fs.FileInfo].
type info struct {
	name string
	size int64
	dir  bool
}

func (i info) Name() string { return i.name }
func (i info) Size() int64  { return i.size }
func (i info) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o700
	}
	return 0o600
}
func (i info) ModTime() time.Time { return time.Unix(1, 0) }
func (i info) IsDir() bool        { return i.dir }
func (i info) Sys() any           { return nil }
