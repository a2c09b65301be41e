#!/bin/sh
# Prints an .env with fresh secrets for docker-compose.yml:
#   (umask 077 && sh deploy/compose/new-env.sh > .env)
set -eu

# Hexadecimal, because the passwords become part of URLs.
secret() {
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

cat <<END
COMPOSE_PROFILES=core,observability

POSTGRES_PASSWORD=$(secret)
MEMBERS_DATABASE_PASSWORD=$(secret)
POINTS_DATABASE_PASSWORD=$(secret)
CAMPAIGNS_DATABASE_PASSWORD=$(secret)
MESSAGING_DATABASE_PASSWORD=$(secret)
ANALYTICS_DATABASE_PASSWORD=$(secret)
GRAFANA_ADMIN_PASSWORD=$(secret)

# Signs share links and unsubscribe links. To rotate, put a new key in front and keep the old one after a comma.
REGULARS_SIGNING_KEYS=$(secret)

# Your mail relay. Until it answers, e-mails wait and are tried again.
SMTP_HOST=mail.example.test
SMTP_PORT=587
SMTP_TLS=starttls
MAIL_FROM_ADDRESS=hello@shop.example.test

# The addresses under which buyers reach the two services that they see.
CAMPAIGNS_PUBLIC_URL=https://groups.example.test
MESSAGING_PUBLIC_URL=https://messages.example.test
END
