// Package packages finds the programs of PostgreSQL and RabbitMQ where the packages of
// systems put them.
package packages
