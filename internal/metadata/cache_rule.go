package metadata

import "berth/internal/registry"

// CacheRules implements [registry.CacheRuleReader].
func (tx *Tx) CacheRules(id registry.ID, keys []string) ([]registry.CacheRule, error) {
	return cacheRules.some(tx, id, keys)
}

// CacheRulesAfter implements [registry.CacheRuleReader].
func (tx *Tx) CacheRulesAfter(id registry.ID, key string, limit int) ([]registry.CacheRule, error) {
	return cacheRules.after(tx, id, key, limit)
}

// CacheRuleCount implements [registry.CacheRuleReader].
func (tx *Tx) CacheRuleCount(id registry.ID) (int, error) { return cacheRules.count(tx, id) }

// InsertCacheRule implements [registry.CacheRuleWriter].
func (tx *Tx) InsertCacheRule(id registry.ID, c registry.CacheRule) (bool, error) {
	return cacheRules.insert(tx, id, c.Key(), c)
}

// UpdateCacheRule implements [registry.CacheRuleWriter].
func (tx *Tx) UpdateCacheRule(id registry.ID, c registry.CacheRule) error {
	return cacheRules.update(tx, id, c.Key(), c)
}

// DeleteCacheRule implements [registry.CacheRuleWriter].
func (tx *Tx) DeleteCacheRule(id registry.ID, c registry.CacheRule) error {
	return cacheRules.remove(tx, id, c.Key())
}
