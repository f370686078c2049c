package metadata

import "encoding/json"

// DatabaseID returns what tells this database from all others, and "" if it has not been
// named yet.
func (tx *Tx) DatabaseID() (id string, err error) {
	var document string
	found, err := tx.row(`SELECT document FROM gc_state WHERE name = 'database'`, nil, &document)
	if err != nil || !found {
		return "", err
	}
	return id, json.Unmarshal([]byte(document), &id)
}

// NameDatabase gives the database an id, unless it has one, and returns the one that it has.
func (tx *Tx) NameDatabase(id string) (string, error) {
	document, err := json.Marshal(id)
	if err != nil {
		return "", err
	}
	if err := tx.change(`INSERT INTO gc_state (name, document) VALUES ('database', $1) ON CONFLICT (name) DO NOTHING`, string(document)); err != nil {
		return "", err
	}
	return tx.DatabaseID()
}
