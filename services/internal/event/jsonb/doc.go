// Package jsonb knows what PostgreSQL's jsonb makes of JSON: what it refuses or can't give back
// ([Check]), and which values it calls equal ([AppendCanonical]).
package jsonb
