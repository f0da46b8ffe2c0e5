"""What schema.org entities should state: required and recommended properties by type, and what is missing.

After the documentation of search engines' structured data features and schema.org 29 (2025): without a required
property a parser drops the entity, a recommended one adds to what can be shown. `a|b` asks for either.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from liftos_pipelines.modules.surfacing.pages.markup import Entity, entity_types, values


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Properties of a type; `inner` types stand inside others, where the outer entity says what they are about."""

    required: tuple[str, ...]
    recommended: tuple[str, ...] = ()
    inner: bool = False


SHAPES: dict[str, Shape] = {
    "Product": Shape(
        required=("name", "offers|review|aggregateRating"),
        recommended=("description", "image", "brand", "sku|gtin|gtin13|gtin8|gtin12|gtin14|mpn|isbn|productID"),
    ),
    "Offer": Shape(
        required=("price|priceSpecification", "priceCurrency|priceSpecification"),
        recommended=("availability", "url"),
        inner=True,
    ),
    "AggregateOffer": Shape(
        required=("lowPrice", "priceCurrency"), recommended=("highPrice", "offerCount"), inner=True
    ),
    "AggregateRating": Shape(
        required=("ratingValue", "ratingCount|reviewCount"), recommended=("bestRating",), inner=True
    ),
    "Review": Shape(required=("reviewRating", "author"), recommended=("datePublished", "reviewBody|description")),
    "Article": Shape(
        required=("headline|name", "author", "datePublished"), recommended=("dateModified", "image", "publisher")
    ),
    "Organization": Shape(required=("name", "url"), recommended=("logo", "sameAs", "description|contactPoint|address")),
    "LocalBusiness": Shape(
        required=("name", "address"), recommended=("telephone", "openingHours|openingHoursSpecification", "url", "geo")
    ),
    "Person": Shape(required=("name",), recommended=("url|sameAs", "jobTitle|description|worksFor")),
    "FAQPage": Shape(required=("mainEntity",)),
    "Question": Shape(required=("name", "acceptedAnswer|suggestedAnswer"), inner=True),
    "HowTo": Shape(required=("name", "step"), recommended=("image", "totalTime", "supply|tool")),
    "BreadcrumbList": Shape(required=("itemListElement",)),
    "WebSite": Shape(required=("name", "url"), recommended=("publisher|potentialAction",)),
    "WebPage": Shape(required=("name|headline",), recommended=("description", "dateModified|datePublished")),
    "VideoObject": Shape(
        required=("name", "thumbnailUrl", "uploadDate"), recommended=("description", "duration", "contentUrl|embedUrl")
    ),
    "Recipe": Shape(
        required=("name", "image", "recipeIngredient|ingredients", "recipeInstructions"),
        recommended=("author", "datePublished", "totalTime|cookTime", "nutrition", "aggregateRating"),
    ),
    "Event": Shape(
        required=("name", "startDate", "location"), recommended=("endDate", "description", "image", "offers")
    ),
    "SoftwareApplication": Shape(
        required=("name", "offers"), recommended=("applicationCategory", "operatingSystem", "aggregateRating|review")
    ),
    "Course": Shape(required=("name", "description"), recommended=("provider", "offers")),
    "JobPosting": Shape(
        required=("title", "description", "datePosted", "hiringOrganization", "jobLocation|jobLocationType"),
        recommended=("baseSalary", "validThrough", "employmentType"),
    ),
    "Book": Shape(required=("name", "author"), recommended=("isbn", "url")),
    "Movie": Shape(required=("name", "image"), recommended=("dateCreated|datePublished", "director")),
    "Service": Shape(required=("name", "provider"), recommended=("description", "offers", "areaServed")),
    "FinancialProduct": Shape(
        required=("name",), recommended=("description", "provider", "feesAndCommissionsSpecification")
    ),
    "Place": Shape(required=("name",), recommended=("address", "geo")),
    "ImageObject": Shape(required=("url|contentUrl",), recommended=("width", "height"), inner=True),
    "DiscussionForumPosting": Shape(required=("author", "datePublished"), recommended=("headline", "text", "comment")),
    "QAPage": Shape(required=("mainEntity",)),
}
_KINDS = {
    "Article": "NewsArticle BlogPosting TechArticle ReportageNewsArticle AnalysisNewsArticle OpinionNewsArticle "
    "LiveBlogPosting ScholarlyArticle Report AdvertiserContentArticle MedicalScholarlyArticle SocialMediaPosting",
    "Organization": "Corporation NewsMediaOrganization NGO EducationalOrganization OnlineBusiness OnlineStore "
    "GovernmentOrganization Airline MedicalOrganization SportsOrganization PerformingGroup",
    "LocalBusiness": "Store Restaurant Hotel LodgingBusiness FoodEstablishment MedicalBusiness Dentist Physician "
    "Pharmacy FinancialService BankOrCreditUnion InsuranceAgency TravelAgency ClothingStore AutoDealer "
    "RealEstateAgent Hospital MedicalClinic HealthAndBeautyBusiness ProfessionalService HomeGoodsStore "
    "ElectronicsStore GroceryStore",
    "SoftwareApplication": "WebApplication MobileApplication VideoGame",
    "WebPage": "AboutPage ContactPage CollectionPage ItemPage ProfilePage CheckoutPage SearchResultsPage "
    "MedicalWebPage",
    "Product": "ProductGroup ProductModel IndividualProduct Vehicle Car",
    "Review": "CriticReview UserReview EmployerReview ClaimReview",
    "Event": "BusinessEvent MusicEvent SportsEvent Festival TheaterEvent EducationEvent ExhibitionEvent",
    "Service": "FinancialService MedicalTherapy GovernmentService BroadcastService",
    "FinancialProduct": "BankAccount CreditCard LoanOrCredit InvestmentFund PaymentCard",
    "Place": "TouristAttraction LandmarksOrHistoricalBuildings AdministrativeArea City",
}
ALIASES = {kind: shape for shape, kinds in reversed(_KINDS.items()) for kind in kinds.split()}
MAIN_TYPES = frozenset(
    {"Product", "Article", "Recipe", "Event", "SoftwareApplication", "HowTo", "VideoObject", "Course", "JobPosting",
     "Book", "Movie", "Service", "LocalBusiness", "FinancialProduct", "DiscussionForumPosting"}
)  # fmt: skip
"""Types that are what a page is about, rather than what surrounds it."""
_REFERENCES = frozenset({"@type", "@id", "@context", "name", "url", "logo", "image", "sameAs"})


@dataclass(frozen=True, kw_only=True)
class Completeness:
    """How complete the entities of known types are; shares are None where no known type was found."""

    types: tuple[str, ...]
    required: float | None
    recommended: float | None
    missing_required: tuple[str, ...]
    missing_recommended: tuple[str, ...]


def shape_name(kind: str) -> str | None:
    """The shape that a schema.org type is judged by; None for a type that is not in the table."""
    name = kind if kind in SHAPES else ALIASES.get(kind, kind)
    return name if name in SHAPES else None


def completeness(entities: Iterable[Entity]) -> Completeness:
    """Share of required and recommended properties present: the mean over types of each type's mean over entities."""
    required: dict[str, list[float]] = {}
    recommended: dict[str, list[float]] = {}
    missing_required: dict[str, None] = {}
    missing_recommended: dict[str, None] = {}
    for entity in entities:
        for kind in entity_types(entity):
            name = shape_name(kind)
            if name is None or _mere_reference(name, entity):
                continue
            shape = SHAPES[name]
            for wanted, shares, missing in (
                (shape.required, required, missing_required),
                (shape.recommended, recommended, missing_recommended),
            ):
                absent = [one for one in wanted if not _states(entity, one)]
                if wanted:
                    shares.setdefault(name, []).append(1 - len(absent) / len(wanted))
                missing |= {f"{kind}.{one.replace('|', ' or ')}": None for one in absent}
            break
    return Completeness(
        types=tuple(required),
        required=_mean(required),
        recommended=_mean(recommended),
        missing_required=tuple(missing_required),
        missing_recommended=tuple(missing_recommended),
    )


def _states(entity: Entity, wanted: str) -> bool:
    return any(values(entity, name) for name in wanted.split("|"))


def _mere_reference(name: str, entity: Entity) -> bool:
    """An organisation, person or page named in passing (as author, publisher, brand) is described elsewhere."""
    return name in ("Organization", "Person", "Place", "WebPage", "ImageObject") and set(entity) <= _REFERENCES


def _mean(shares: dict[str, list[float]]) -> float | None:
    each = [sum(one) / len(one) for one in shares.values()]
    return sum(each) / len(each) if each else None
