// Package operations holds tests of the whole pipeline on real servers: what operators set
// (settings, API keys, certificates, policies of RabbitMQ) and what they see (metrics, logs,
// traces, the self test).
package operations
