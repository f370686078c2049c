package disktest

import (
	"fmt"
	"io/fs"
	"sync"

	"berth/internal/blob/dirbucket"
)

// Faults make operations of files fail. The zero Faults let all succeed.
type Faults struct {
	mu       sync.Mutex
	plan     func(op string) error // guarded by mu
	broken   map[string]bool       // guarded by mu: files whose sync has failed, until they are cut or removed
	mistakes []string              // guarded by mu
}

// Plan makes operations fail as plan says from now on: those of [dirbucket.Files] and
// [dirbucket.File] by their names in lower case. Of a write that fails, half is done.
// nil is for no faults.
func (f *Faults) Plan(plan func(op string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan = plan
}

// Nth is a plan by which the n-th operation fails, and what tells which it was: "" for
// none so far.
func Nth(n int, err error) (plan func(string) error, failed func() string) {
	var mu sync.Mutex
	which := ""
	return func(op string) error {
			mu.Lock()
			defer mu.Unlock()
			if n--; n != 0 {
				return nil
			}
			which = op
			return err
		}, func() string {
			mu.Lock()
			defer mu.Unlock()
			return which
		}
}

// Mistakes returns what was done with files whose content was not known: after a sync
// that has failed, a file must be cut or removed before it can be good for anything.
func (f *Faults) Mistakes() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mistakes
}

// Over returns files some of whose operations fail.
func (f *Faults) Over(files dirbucket.Files) dirbucket.Files { return &faulty{files, f} }

func (f *Faults) ask(op, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken[name] && (op == "sync" || op == "rename") {
		f.mistakes = append(f.mistakes, fmt.Sprintf("%s of %s after a sync that failed", op, name))
	}
	if f.plan == nil {
		return nil
	}
	err := f.plan(op)
	if err == nil {
		return nil
	}
	if op == "sync" {
		if f.broken == nil {
			f.broken = map[string]bool{}
		}
		f.broken[name] = true
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

func (f *Faults) known(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.broken, name)
}

type faulty struct {
	dirbucket.Files
	faults *Faults
}

func (f *faulty) OpenFile(name string, flag int) (dirbucket.File, error) {
	if err := f.faults.ask("openfile", name); err != nil {
		return nil, err
	}
	file, err := f.Files.OpenFile(name, flag)
	if err != nil {
		return nil, err
	}
	return &faultyFile{file, name, f.faults}, nil
}

func (f *faulty) Mkdir(name string) error {
	if err := f.faults.ask("mkdir", name); err != nil {
		return err
	}
	return f.Files.Mkdir(name)
}

func (f *faulty) Rename(from, to string) error {
	if err := f.faults.ask("rename", from); err != nil {
		return err
	}
	return f.Files.Rename(from, to)
}

func (f *faulty) Remove(name string) error {
	if err := f.faults.ask("remove", name); err != nil {
		return err
	}
	f.faults.known(name)
	return f.Files.Remove(name)
}

func (f *faulty) Stat(name string) (fs.FileInfo, error) {
	if err := f.faults.ask("stat", name); err != nil {
		return nil, err
	}
	return f.Files.Stat(name)
}

func (f *faulty) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := f.faults.ask("readdir", name); err != nil {
		return nil, err
	}
	return f.Files.ReadDir(name)
}

func (f *faulty) SyncDir(name string) error {
	if err := f.faults.ask("syncdir", name); err != nil {
		return err
	}
	return f.Files.SyncDir(name)
}

type faultyFile struct {
	dirbucket.File
	name   string
	faults *Faults
}

func (f *faultyFile) Read(p []byte) (int, error) {
	if err := f.faults.ask("read", f.name); err != nil {
		return 0, err
	}
	return f.File.Read(p)
}

func (f *faultyFile) Write(p []byte) (int, error) {
	if err := f.faults.ask("write", f.name); err != nil {
		n, _ := f.File.Write(p[:len(p)/2]) // it is the other half that fails
		return n, err
	}
	return f.File.Write(p)
}

func (f *faultyFile) Seek(offset int64, whence int) (int64, error) {
	if err := f.faults.ask("seek", f.name); err != nil {
		return 0, err
	}
	return f.File.Seek(offset, whence)
}

func (f *faultyFile) Truncate(size int64) error {
	if err := f.faults.ask("truncate", f.name); err != nil {
		return err
	}
	f.faults.known(f.name)
	return f.File.Truncate(size)
}

func (f *faultyFile) Sync() error {
	if err := f.faults.ask("sync", f.name); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *faultyFile) Close() error {
	err := f.faults.ask("close", f.name)
	if closed := f.File.Close(); err == nil {
		err = closed
	}
	return err
}
