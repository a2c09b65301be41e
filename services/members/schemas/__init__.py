"""Request and response models of the API."""

from services.members.schemas.batches import Batch, batch_body, read_batch
from services.members.schemas.erasures import ErasureIn, ErasureResult
from services.members.schemas.merges import (
    DismissalIn,
    DismissalResult,
    IdentityIn,
    IdentityResult,
    MergeIn,
    MergeResult,
    SuggestionOut,
)
from services.members.schemas.orders import CancellationIn, OrderIn, RefundIn
from services.members.schemas.people import ConsentIn, MemberOut, MemberPage
from services.members.schemas.profile import (
    ATTRIBUTE_SCHEMA_EXAMPLE,
    AttributeSchemaOut,
    AttributeSchemaReplaced,
    GroupIn,
    GroupMemberOut,
    GroupOut,
    MembershipIn,
    MembershipResult,
    ProfileChangeIn,
    ProfilePatch,
    ProfileResult,
)
from services.members.schemas.program import SummaryOut, TierIn, TiersIn, TiersOut, TiersReplaced
from services.members.schemas.results import (
    BatchAnswer,
    CancellationResult,
    ConsentResult,
    OrderOut,
    OrderResult,
    RefundOut,
    RefundResult,
    TagsResult,
)
from services.members.schemas.tags import TagsChangeIn, TagsIn, TagsOut

__all__ = [
    "ATTRIBUTE_SCHEMA_EXAMPLE",
    "AttributeSchemaOut",
    "AttributeSchemaReplaced",
    "Batch",
    "BatchAnswer",
    "CancellationIn",
    "CancellationResult",
    "ConsentIn",
    "ConsentResult",
    "DismissalIn",
    "DismissalResult",
    "ErasureIn",
    "ErasureResult",
    "GroupIn",
    "GroupMemberOut",
    "GroupOut",
    "IdentityIn",
    "IdentityResult",
    "MemberOut",
    "MemberPage",
    "MembershipIn",
    "MembershipResult",
    "MergeIn",
    "MergeResult",
    "OrderIn",
    "OrderOut",
    "OrderResult",
    "ProfileChangeIn",
    "ProfilePatch",
    "ProfileResult",
    "RefundIn",
    "RefundOut",
    "RefundResult",
    "SuggestionOut",
    "SummaryOut",
    "TagsChangeIn",
    "TagsIn",
    "TagsOut",
    "TagsResult",
    "TierIn",
    "TiersIn",
    "TiersOut",
    "TiersReplaced",
    "batch_body",
    "read_batch",
]
