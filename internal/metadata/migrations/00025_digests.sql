-- Copies of what is damaged are found by digest alone.

-- +goose Up

CREATE INDEX objects_any_digest ON objects (digest);
