"""The first tables of campaigns."""

from alembic import op

from shared.platform_migrations import create_platform_tables_v1, drop_platform_tables_v1

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Plain SQL, because an exclusion constraint and partial indexes read best as what they are.
STATEMENTS = (
    # For the exclusion constraint, which compares texts and a range in one index.
    "CREATE EXTENSION IF NOT EXISTS btree_gist",
    """
    CREATE TABLE activities (
            activity_id UUID NOT NULL,
            shop_id TEXT NOT NULL,
            name TEXT NOT NULL,
            currency TEXT NOT NULL,
            time_zone TEXT NOT NULL,
            starts_at TIMESTAMP WITH TIME ZONE NOT NULL,
            ends_at TIMESTAMP WITH TIME ZONE NOT NULL,
            starts_at_local TIMESTAMP WITHOUT TIME ZONE NOT NULL,
            ends_at_local TIMESTAMP WITHOUT TIME ZONE NOT NULL,
            group_size SMALLINT NOT NULL,
            discount_percent SMALLINT NOT NULL,
            units_per_order BIGINT,
            units_per_member BIGINT,
            groups_per_member BIGINT,
            minimum_remaining_seconds BIGINT NOT NULL,
            checkout_url TEXT,
            created_at TIMESTAMP WITH TIME ZONE NOT NULL,
            cancelled_at TIMESTAMP WITH TIME ZONE,
            cancel_reason TEXT,
            ended_at TIMESTAMP WITH TIME ZONE,
            CONSTRAINT pk_activities PRIMARY KEY (activity_id),
            CONSTRAINT ck_activities_name_length CHECK (char_length(name) BETWEEN 1 AND 32),
            CONSTRAINT ck_activities_starts_before_end
             CHECK (starts_at < ends_at AND starts_at_local < ends_at_local),
            CONSTRAINT ck_activities_at_most_180_days
             CHECK (ends_at_local <= starts_at_local + interval '180 days'),
            CONSTRAINT ck_activities_group_size CHECK (group_size BETWEEN 2 AND 100),
            CONSTRAINT ck_activities_discount_percent CHECK (discount_percent BETWEEN 5 AND 99)
    )
    """,
    """
    CREATE INDEX ix_activities_unannounced_end ON activities (ends_at)
        WHERE ended_at IS NULL AND cancelled_at IS NULL
    """,
    """
    CREATE TABLE member_usage (
            activity_id UUID NOT NULL,
            member_id UUID NOT NULL,
            units BIGINT NOT NULL,
            open_groups BIGINT NOT NULL,
            CONSTRAINT pk_member_usage PRIMARY KEY (activity_id, member_id),
            CONSTRAINT ck_member_usage_natural CHECK (units >= 0 AND open_groups >= 0)
    )
    """,
    """
    CREATE TABLE parked_rewards (
            redemption_id UUID NOT NULL,
            member_id UUID NOT NULL,
            reference TEXT NOT NULL,
            granted_at TIMESTAMP WITH TIME ZONE NOT NULL,
            CONSTRAINT pk_parked_rewards PRIMARY KEY (redemption_id)
    )
    """,
    "CREATE INDEX ix_parked_rewards_reference ON parked_rewards (reference)",
    """
    CREATE TABLE payments (
            payment_key UUID NOT NULL,
            order_id UUID NOT NULL,
            payment_id TEXT,
            seat_id UUID NOT NULL,
            group_id UUID NOT NULL,
            activity_id UUID NOT NULL,
            member_id UUID NOT NULL,
            source TEXT NOT NULL,
            shop_id TEXT NOT NULL,
            external_order_id TEXT NOT NULL,
            amount_minor BIGINT NOT NULL,
            currency TEXT NOT NULL,
            paid_at TIMESTAMP WITH TIME ZONE NOT NULL,
            received_at TIMESTAMP WITH TIME ZONE NOT NULL,
            state TEXT NOT NULL,
            reason TEXT,
            requested_at TIMESTAMP WITH TIME ZONE,
            refunded_minor BIGINT NOT NULL,
            refunded_at TIMESTAMP WITH TIME ZONE,
            CONSTRAINT pk_payments PRIMARY KEY (payment_key),
            CONSTRAINT ck_payments_state
             CHECK (state IN ('captured', 'confirmed', 'refund_requested', 'refunded')),
            CONSTRAINT ck_payments_natural CHECK (amount_minor >= 0 AND refunded_minor >= 0),
            CONSTRAINT ck_payments_refund_has_reason
             CHECK (state <> 'refund_requested' OR reason IS NOT NULL)
    )
    """,
    "CREATE INDEX ix_payments_order_id ON payments (order_id)",
    """
    CREATE INDEX ix_payments_requested ON payments (requested_at, payment_key)
        WHERE requested_at IS NOT NULL
    """,
    "CREATE INDEX ix_payments_seat_id ON payments (seat_id)",
    """
    CREATE UNIQUE INDEX uq_payments_seat ON payments (seat_id)
        WHERE state IN ('captured', 'confirmed')
    """,
    """
    CREATE TABLE promotions (
            promotion_id UUID NOT NULL,
            reference TEXT,
            name TEXT NOT NULL,
            kind TEXT NOT NULL,
            amount_minor BIGINT,
            currency TEXT,
            percent SMALLINT,
            minimum_spend_minor BIGINT,
            valid_days BIGINT,
            ends_at TIMESTAMP WITH TIME ZONE,
            created_at TIMESTAMP WITH TIME ZONE NOT NULL,
            CONSTRAINT pk_promotions PRIMARY KEY (promotion_id),
            CONSTRAINT ck_promotions_kind CHECK (kind IN ('amount', 'percentage', 'free_shipping')),
            CONSTRAINT ck_promotions_amount_has_amount
             CHECK ((kind = 'amount') = (amount_minor IS NOT NULL)),
            CONSTRAINT ck_promotions_amount_has_currency
             CHECK (amount_minor IS NULL OR currency IS NOT NULL),
            CONSTRAINT ck_promotions_percentage_has_percent
             CHECK ((kind = 'percentage') = (percent IS NOT NULL)),
            CONSTRAINT ck_promotions_worth CHECK (percent BETWEEN 1 AND 100 AND amount_minor >= 1)
    )
    """,
    "CREATE UNIQUE INDEX uq_promotions_reference ON promotions (reference)",
    """
    CREATE TABLE refunds (
            order_id UUID NOT NULL,
            refund_id TEXT NOT NULL,
            refund_key TEXT,
            amount_minor BIGINT NOT NULL,
            complete BOOLEAN NOT NULL,
            refunded_at TIMESTAMP WITH TIME ZONE NOT NULL,
            payment_key UUID,
            CONSTRAINT pk_refunds PRIMARY KEY (order_id, refund_id)
    )
    """,
    """
    CREATE TABLE sku_locks (
            promotion_id UUID NOT NULL,
            shop_id TEXT NOT NULL,
            sku TEXT NOT NULL,
            during TSTZRANGE NOT NULL,
            CONSTRAINT pk_sku_locks PRIMARY KEY (promotion_id, sku),
            CONSTRAINT ex_sku_locks_one_promotion
             EXCLUDE USING gist (shop_id WITH =, sku WITH =, during WITH &&)
    )
    """,
    """
    CREATE TABLE activity_skus (
            activity_id UUID NOT NULL,
            sku TEXT NOT NULL,
            product_id TEXT NOT NULL,
            title TEXT NOT NULL,
            normal_price_minor BIGINT NOT NULL,
            discount_percent SMALLINT NOT NULL,
            price_minor BIGINT NOT NULL,
            stock BIGINT NOT NULL,
            stock_left BIGINT NOT NULL,
            CONSTRAINT pk_activity_skus PRIMARY KEY (activity_id, sku),
            CONSTRAINT ck_activity_skus_normal_price CHECK (normal_price_minor >= 1),
            CONSTRAINT ck_activity_skus_price CHECK (price_minor BETWEEN 1 AND normal_price_minor),
            CONSTRAINT ck_activity_skus_discount_percent CHECK (discount_percent BETWEEN 5 AND 99),
            CONSTRAINT ck_activity_skus_stock_left CHECK (stock_left BETWEEN 0 AND stock),
            CONSTRAINT fk_activity_skus_activity_id
             FOREIGN KEY(activity_id) REFERENCES activities (activity_id)
    )
    """,
    """
    CREATE TABLE coupons (
            coupon_id UUID NOT NULL,
            promotion_id UUID NOT NULL,
            member_id UUID NOT NULL,
            code TEXT NOT NULL,
            state TEXT NOT NULL,
            redemption_id UUID,
            issued_at TIMESTAMP WITH TIME ZONE NOT NULL,
            expires_at TIMESTAMP WITH TIME ZONE,
            CONSTRAINT pk_coupons PRIMARY KEY (coupon_id),
            CONSTRAINT ck_coupons_state CHECK (state IN ('issued', 'redeemed')),
            CONSTRAINT fk_coupons_promotion_id FOREIGN KEY(promotion_id) REFERENCES promotions (promotion_id)
    )
    """,
    "CREATE INDEX ix_coupons_member_id ON coupons (member_id, coupon_id)",
    "CREATE UNIQUE INDEX uq_coupons_code ON coupons (code)",
    "CREATE UNIQUE INDEX uq_coupons_redemption_id ON coupons (redemption_id)",
    """
    CREATE TABLE buy_groups (
            group_id UUID NOT NULL,
            activity_id UUID NOT NULL,
            shop_id TEXT NOT NULL,
            sku TEXT NOT NULL,
            initiator_id UUID NOT NULL,
            leader_id UUID NOT NULL,
            group_size SMALLINT NOT NULL,
            price_minor BIGINT NOT NULL,
            currency TEXT NOT NULL,
            listed BOOLEAN NOT NULL,
            state TEXT NOT NULL,
            seats_taken SMALLINT NOT NULL,
            seats_paid SMALLINT NOT NULL,
            created_at TIMESTAMP WITH TIME ZONE NOT NULL,
            opened_at TIMESTAMP WITH TIME ZONE,
            deadline_at TIMESTAMP WITH TIME ZONE,
            decided_at TIMESTAMP WITH TIME ZONE,
            reason TEXT,
            CONSTRAINT pk_buy_groups PRIMARY KEY (group_id),
            CONSTRAINT fk_buy_groups_activity_sku
             FOREIGN KEY(activity_id, sku) REFERENCES activity_skus (activity_id, sku),
            CONSTRAINT ck_buy_groups_state
             CHECK (state IN ('pending', 'open', 'closing', 'formed', 'failed')),
            CONSTRAINT ck_buy_groups_seats_taken CHECK (seats_taken BETWEEN 0 AND group_size),
            CONSTRAINT ck_buy_groups_seats_paid CHECK (seats_paid BETWEEN 0 AND seats_taken),
            CONSTRAINT ck_buy_groups_formed_decided CHECK (state <> 'formed' OR decided_at IS NOT NULL),
            CONSTRAINT ck_buy_groups_price CHECK (price_minor >= 1),
            CONSTRAINT ck_buy_groups_open_deadline
             CHECK ((state IN ('open', 'closing')) <= (deadline_at IS NOT NULL))
    )
    """,
    "CREATE INDEX ix_buy_groups_activity_sku ON buy_groups (activity_id, sku, state)",
    """
    CREATE INDEX ix_buy_groups_due ON buy_groups (deadline_at)
        WHERE state IN ('open', 'closing')
    """,
    """
    CREATE TABLE links (
            link_id UUID NOT NULL,
            activity_id UUID NOT NULL,
            group_id UUID NOT NULL,
            sharer_id UUID NOT NULL,
            channel TEXT,
            parent_link_id UUID,
            generation BIGINT NOT NULL,
            created_at TIMESTAMP WITH TIME ZONE NOT NULL,
            CONSTRAINT pk_links PRIMARY KEY (link_id),
            CONSTRAINT uq_links_sharer UNIQUE NULLS NOT DISTINCT (group_id, sharer_id, channel),
            CONSTRAINT fk_links_group_id FOREIGN KEY(group_id) REFERENCES buy_groups (group_id)
    )
    """,
    """
    CREATE TABLE seats (
            seat_id UUID NOT NULL,
            group_id UUID NOT NULL,
            activity_id UUID NOT NULL,
            sku TEXT NOT NULL,
            member_id UUID NOT NULL,
            seat_no SMALLINT NOT NULL,
            quantity BIGINT NOT NULL,
            amount_minor BIGINT NOT NULL,
            currency TEXT NOT NULL,
            state TEXT NOT NULL,
            held_at TIMESTAMP WITH TIME ZONE NOT NULL,
            held_until TIMESTAMP WITH TIME ZONE NOT NULL,
            lapses_at TIMESTAMP WITH TIME ZONE NOT NULL,
            paid_at TIMESTAMP WITH TIME ZONE,
            order_id UUID,
            link_id UUID,
            generation BIGINT NOT NULL,
            CONSTRAINT pk_seats PRIMARY KEY (seat_id),
            CONSTRAINT ck_seats_state
             CHECK (state IN ('held', 'paid', 'confirmed', 'lapsed', 'refund_pending', 'refunded')),
            CONSTRAINT ck_seats_positive CHECK (quantity >= 1 AND amount_minor >= 1 AND seat_no >= 1),
            CONSTRAINT ck_seats_lapses_after_hold CHECK (held_until <= lapses_at),
            CONSTRAINT fk_seats_group_id FOREIGN KEY(group_id) REFERENCES buy_groups (group_id)
    )
    """,
    """
    CREATE INDEX ix_seats_due ON seats (lapses_at)
        WHERE state = 'held'
    """,
    "CREATE INDEX ix_seats_group_id ON seats (group_id)",
    """
    CREATE UNIQUE INDEX uq_seats_member ON seats (group_id, member_id)
        WHERE state IN ('held', 'paid', 'confirmed')
    """,
    """
    CREATE UNIQUE INDEX uq_seats_seat_no ON seats (group_id, seat_no)
        WHERE state IN ('held', 'paid', 'confirmed')
    """,
)

TABLES = (
    "activities",
    "member_usage",
    "parked_rewards",
    "payments",
    "promotions",
    "refunds",
    "sku_locks",
    "activity_skus",
    "coupons",
    "buy_groups",
    "links",
    "seats",
)


def upgrade() -> None:
    """Make the platform tables and those of campaigns."""
    create_platform_tables_v1(op.get_bind())
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop everything that `upgrade` made."""
    for table in reversed(TABLES):
        op.drop_table(table)
    drop_platform_tables_v1(op.get_bind())
